"""scripts/setup.sh and test.sh: what they say and refuse before they change anything."""

import os
import re
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
FLOOR = "3.11"  # hashlib.file_digest


def bash(*words, cwd, **environment):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DSP_")}
    return subprocess.run(
        ["bash", *map(str, words)], cwd=cwd, env={**kept, **environment}, capture_output=True, text=True
    )


def environment_of(folder, checkout):
    """A virtual environment whose Python finds dsp_fairseq in `checkout`."""
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").write_text(f"#!/bin/sh\necho {checkout}/dsp_fairseq\n")
    (folder / "bin" / "python").chmod(0o755)
    return folder


@pytest.mark.parametrize("word", ["--help", "-h"])
@pytest.mark.parametrize("script", ["test.sh", "setup.sh"])
def test_help_sets_nothing_up(tmp_path, script, word):
    done = bash(PROJECT / "scripts" / script, word, cwd=tmp_path, DSP_VENV=str(tmp_path / "new"))
    assert done.returncode == 0 and done.stdout.startswith("usage: ") and done.stderr == ""
    assert not (tmp_path / "new").exists()


def test_the_environment_of_another_checkout_is_refused(tmp_path):
    venv = environment_of(tmp_path / "venv", tmp_path / "other")
    before = sorted(tmp_path.rglob("*"))
    for done in (
        bash(PROJECT / "scripts" / "setup.sh", "--venv", venv, cwd=tmp_path),
        bash(PROJECT / "scripts" / "test.sh", cwd=tmp_path, DSP_VENV=str(venv)),
        bash(PROJECT / "scripts" / "test.sh", cwd=tmp_path, DSP_VENV="venv"),
    ):
        [line] = done.stderr.splitlines()
        assert done.returncode == 2 and done.stdout == ""
        assert f"another checkout, {tmp_path}/other: " in line and "--venv" in line
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("owner", [PROJECT, "venv/lib/python3.11/site-packages"])
def test_ones_own_environment_is_not(tmp_path, owner):
    venv = environment_of(tmp_path / "venv", owner)
    done = bash(PROJECT / "scripts" / "setup.sh", "--venv", venv, "--python", "no-such-python", cwd=tmp_path)
    assert "--python no-such-python does not run" in done.stderr


@pytest.mark.parametrize("used, notes", [(PROJECT, 0), ("/lib/site-packages", 0), ("/somewhere/else", 1)])
def test_examples_say_in_one_line_that_they_run_other_code(tmp_path, used, notes):
    venv = environment_of(tmp_path / "venv", used)
    (venv / "bin" / "python").rename(venv / "bin" / "dsp-fairseq")
    (venv / "bin" / "python").symlink_to("dsp-fairseq")
    done = bash("-c", f"source {PROJECT}/examples/common.sh; activate dsp-fairseq", cwd=tmp_path, DSP_VENV=str(venv))
    assert (
        done.returncode == 0 and len(done.stderr.splitlines()) == notes and ("/somewhere/else" in done.stderr) == notes
    )


def test_there_is_one_python_floor():
    """In the metadata of the package, in set-up and in the README."""
    setup, script, readme = ((PROJECT / name).read_text() for name in ("setup.py", "scripts/setup.sh", "README.md"))
    assert re.findall(r'python_requires="(.+)"', setup) == [f">={FLOOR}"]
    assert re.findall(r'^oldest_python="(.+)"', script, re.M) == [FLOOR]
    assert re.search(rf"Python {FLOOR}, 3\.12 or 3\.13", readme)
