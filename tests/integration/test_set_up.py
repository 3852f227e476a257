"""scripts/setup.sh, test.sh and lint.sh: what they refuse before they change anything, and what lint.sh finds."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
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
@pytest.mark.parametrize("script", ["test.sh", "setup.sh", "lint.sh"])
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
        bash(PROJECT / "scripts" / "lint.sh", cwd=tmp_path, DSP_VENV="venv"),
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
    """In the metadata of the package, for the tools, in set-up and in the README."""
    metadata = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    script, readme = ((PROJECT / name).read_text() for name in ("scripts/setup.sh", "README.md"))
    assert metadata["project"]["requires-python"] == f">={FLOOR}"
    assert metadata["tool"]["ruff"]["target-version"] == f"py{FLOOR.replace('.', '')}"
    assert metadata["tool"]["mypy"]["python_version"] == FLOOR
    assert re.findall(r'^oldest_python="(.+)"', script, re.M) == [FLOOR]
    assert re.search(rf"Python {FLOOR}, 3\.12 or 3\.13", readme)


class TestLint:
    """lint.sh in the environment of the tests, on a copy of the checkout."""

    @pytest.fixture
    def checkout(self, tmp_path):
        """A copy of the checkout whose setup.sh does nothing."""
        copy = tmp_path / "checkout"
        copy.mkdir()
        for name in ("dsp_fairseq", "dsp_fairseq_startup", "scripts"):
            shutil.copytree(PROJECT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("pyproject.toml", "requirements.txt"):
            shutil.copy(PROJECT / name, copy)
        (copy / "scripts" / "setup.sh").write_text("")
        if (PROJECT / ".mypy_cache").exists():  # mypy has read torch: that takes a quarter of a minute
            shutil.copytree(PROJECT / ".mypy_cache", copy / ".mypy_cache")
        return copy

    def lint(self, checkout, *arguments):
        return bash(checkout / "scripts" / "lint.sh", *arguments, cwd=checkout, DSP_VENV=sys.prefix)

    def test_finds_what_each_tool_finds_and_mends_what_ruff_mends(self, checkout):
        clean = self.lint(checkout)
        assert clean.returncode == 0, clean.stdout + clean.stderr
        wrong = checkout / "dsp_fairseq" / "structures" / "wrong.py"
        wrong.write_text("import os\n\n\ndef one( ) -> int:\n    return 'one'\n\n\ndef untyped(x):\n    return x\n")
        done = self.lint(checkout)
        assert done.returncode == 1
        for found in ("F401", "unformatted: ", "[return-value]", "[no-untyped-def]"):
            assert found in done.stdout, done.stdout
        done = self.lint(checkout, "--fix")
        assert wrong.read_text() == 'def one() -> int:\n    return "one"\n\n\ndef untyped(x):\n    return x\n'
        assert done.returncode == 1 and "[return-value]" in done.stdout and "F401" not in done.stdout

    def test_unknown_options_are_wrong_use(self, checkout):
        done = self.lint(checkout, "--fxi")
        assert done.returncode == 2 and "unknown argument --fxi" in done.stderr
