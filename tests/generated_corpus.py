"""The generated corpus of the quick start, smaller: its text, its BPE and its binarised form."""

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from console import PROJECT, run_command


@dataclass(frozen=True)
class Corpus:
    """The corpus of the quick start, smaller; tests must not write into it."""

    folder: Path

    @property
    def text(self) -> Path:
        """train, valid and test, .de and .en, as words."""
        return self.folder / "text"

    @property
    def bpe(self) -> Path:
        """The same six files in BPE, and the merges in `codes`."""
        return self.folder / "bpe"

    @property
    def data_bin(self) -> Path:
        """What fairseq-train and fairseq-generate read; one dictionary for both languages."""
        return self.folder / "data-bin"


def shared(tmp_path_factory) -> Path:
    """A folder of this test run, the same for all its processes (workers of xdist)."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def build_corpus(parent, pairs, merges) -> Corpus:
    """Text, BPE and binarised data, by the console commands of the quick start; made by whichever process is first."""
    made = Corpus(parent / f"corpus-of-{pairs}")
    with open(f"{made.folder}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.data_bin.exists():
            made.folder.mkdir()
            _build(made, pairs, merges)
    return made


def _build(made, pairs, merges) -> None:
    generator = PROJECT / "examples" / "quickstart" / "generate.py"
    must("python", generator, made.text, "--pairs", pairs, "--seed", 1)
    made.bpe.mkdir()
    both = made.bpe / "train.both"
    both.write_bytes(b"".join((made.text / f"train.{side}").read_bytes() for side in ("de", "en")))
    codes = made.bpe / "codes"
    must("subword-nmt", "learn-bpe", "-s", merges, "-i", both, "-o", codes)
    for file in sorted(made.text.iterdir()):
        must("subword-nmt", "apply-bpe", "-c", codes, "-i", file, "-o", made.bpe / file.name)
    languages = ("--source-lang", "de", "--target-lang", "en", "--joined-dictionary")
    texts = [word for name in ("train", "valid", "test") for word in (f"--{name}pref", made.bpe / name)]
    must("fairseq-preprocess", *languages, *texts, "--destdir", made.data_bin)


def must(name, *arguments) -> None:
    """Run a command that the fixture cannot do without."""
    done = run_command(name, *arguments)
    if done.returncode != 0:
        pytest.fail(f"{name} exited {done.returncode}:\n{done.stdout}\n{done.stderr}", pytrace=False)
