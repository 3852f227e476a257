"""examples/language_modeling as a user runs it, on a small text."""

import os
import random
import subprocess
import zipfile
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "language_modeling"
pytestmark = pytest.mark.usefixtures("quick_commands")
TINY = "--decoder-layers 1 --persistent-vectors 8 --max-tokens 256 --tokens-per-sample 64 --num-workers 0 --cpu".split()


def bash(script, *words, **env):
    own = {**os.environ, **env}
    own.pop("DSP_VENV", None)
    command = ["bash", EXAMPLE / script, *map(str, words)]
    return subprocess.run(command, env=own, capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    rng, path = random.Random(1), tmp_path_factory.mktemp("text") / "book.txt"
    words = "the prince said that he would go to the war and the old count laughed".split()
    path.write_text("\n\n".join(" ".join(rng.choices(words, k=12)) + "." for _ in range(120)) + "\n")
    return path


@pytest.fixture(scope="module")
def out(text, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out")
    done = bash("prepare.sh", "--out", folder, TEXT=str(text), BPE_MERGES="20")
    assert done.returncode == 0 and (folder / "data-bin" / "dict.txt").is_file(), done.stderr + done.stdout
    return folder


def test_a_text_is_prepared_once_and_not_with_other_settings(out, text):
    again = bash("prepare.sh", "--out", out, TEXT=str(text), BPE_MERGES="20")
    assert again.returncode == 0 and again.stdout.count("done before") == 4
    other = bash("prepare.sh", "--out", out, TEXT=str(text), BPE_MERGES="0")
    assert other.returncode == 2 and "other settings" in other.stderr
    assert bash("prepare.sh", "--out", out, TEXT="/no/such").returncode == 2


def test_a_model_is_trained_pruned_and_evaluated(out):
    done = bash("train.sh", "--out", out, "--heads", 3, "--updates", 4, "--name", "tiny", "--", *TINY)
    assert done.returncode == 0, done.stderr + done.stdout
    checkpoint = out / "runs" / "tiny" / "checkpoint_last.pt"
    found = bash("evaluate.sh", checkpoint, "--out", out, "--", "--cpu", "--num-workers", 0)
    assert found.returncode == 0 and "heads: 8 => 3 of 8" in found.stdout, found.stderr + found.stdout
    assert found.stdout.count("Perplexity: ") == 2 and (checkpoint.parent / "small.pt").is_file()


def test_wrong_words_are_refused(out):
    for words, said in [(["--model", "lstm"], "--model lstm"), (["--updates", "few"], "--updates few")]:
        done = bash("train.sh", "--out", out, *words)
        assert done.returncode == 2 and said in done.stderr
    assert bash("evaluate.sh", "--out", out).returncode == 2


def test_wikitext_comes_from_a_copy_of_the_archive(tmp_path):
    with zipfile.ZipFile(tmp_path / "copy.zip", "w") as archive:
        for part in ("train", "valid", "test"):
            archive.writestr(f"wikitext-103/wiki.{part}.tokens", " \n = Title = \n \n Some <unk> words . \n" * 3)
    done = bash("prepare.sh", "--out", tmp_path / "out", WIKITEXT103_ARCHIVE=str(tmp_path / "copy.zip"))
    assert done.returncode == 0, done.stderr + done.stdout
    assert (tmp_path / "out" / "tok" / "valid.txt").read_text().splitlines()[1] == " = Title = "
    (tmp_path / "page.zip").write_text("<html>")
    page = bash("prepare.sh", "--out", tmp_path / "other", WIKITEXT103_ARCHIVE=str(tmp_path / "page.zip"))
    assert page.returncode == 2 and "not a zip archive" in page.stderr
