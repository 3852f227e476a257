"""train.sh and prune.sh of examples/multi30k, one epoch each on a part of the generated corpus."""

import os
import shutil
import subprocess
import sys

import pytest
import torch
from console import COMMANDS, PROJECT
from fairseq.data import indexed_dataset

from dsp_fairseq.checkpoints.reading import kept_units, load
from dsp_fairseq.sweep import executors

EXAMPLE = PROJECT / "examples" / "multi30k"
sys.path.insert(0, str(EXAMPLE))
import one  # noqa: E402


def in_process(name, out, *arguments):
    """Exit status of train.sh or prune.sh without bash and without the start of Python."""
    split = arguments.index("--") if "--" in arguments else len(arguments)
    return one.main([f"{name}.sh", *map(str, (*arguments[:split], "--out", out, *arguments[split:]))])


def script(name, out, *arguments):
    env = {**os.environ, "PATH": f"{COMMANDS}{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    command = ["bash", EXAMPLE / f"{name}.sh", "--out", out, *arguments]
    return subprocess.run([*map(str, command)], env=env, capture_output=True, text=True, timeout=900)


def shorten(source, target, split, sentences):
    """Leave the first sentences of a binarised text."""
    for language in ("de", "en"):
        name = f"{split}.de-en.{language}"
        lines = indexed_dataset.make_dataset(str(source / name), "mmap")
        builder = indexed_dataset.MMapIndexedDatasetBuilder(str(target / f"{name}.bin"), dtype=lines._index.dtype)
        for number in range(sentences):
            builder.add_item(lines[number])
        builder.finalize(str(target / f"{name}.idx"))


@pytest.fixture(scope="module")
def out(corpus, tmp_path_factory):
    """As prepare.sh leaves it."""
    folder = tmp_path_factory.mktemp("multi30k")
    shutil.copytree(corpus.data_bin, folder / "data-bin")
    for split, sentences in (("train", 300), ("test", 8)):
        shorten(corpus.data_bin, folder / "data-bin", split, sentences)
    return folder


def test_every_way_from_the_unpruned_model_to_the_table(out, forked, monkeypatch, capsys):
    monkeypatch.setattr(executors, "executable", lambda name: str(forked / name))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    missing = script("prune", out, 12)
    assert missing.returncode == 2 and "run train.sh all" in missing.stderr
    trained = ("train", out, "all", "--name", "unpruned-seed1", "--", "--max-epoch", 1)
    assert in_process(*trained) == 0, capsys.readouterr().err
    said = capsys.readouterr().out
    assert "| unpruned-seed1 | 5 |" in said
    again = script(*trained)  # what is finished is skipped
    assert (again.returncode, again.stdout) == (0, said), again.stderr
    pruned = ("prune", out, 6, "--method", "michel", "--tune", 1)
    assert in_process(*pruned) == 0, capsys.readouterr().err
    said = capsys.readouterr().out
    assert "| michel-after-6-seed1 | - |" in said and "| michel-after-6-seed1-tuned1 | 5 |" in said
    for name in ("", "-tuned1"):
        kept = kept_units(str(out / "runs" / f"michel-after-6-seed1{name}" / "checkpoint_last.pt"))
        assert int(kept.mask.sum()) == 6
    chosen, tuned = (load(str(out / "runs" / f"michel-after-6-seed1{name}" / "checkpoint_last.pt"))
                     for name in ("", "-tuned1"))  # fmt: skip
    weight = "encoder.layers.0.fc1.weight"
    assert not torch.equal(chosen["model"][weight], tuned["model"][weight])
    assert tuned["cfg"]["optimization"]["lr"] == [1e-3]
    assert in_process(*pruned) == 0 and capsys.readouterr().out == said
    assert in_process("prune", out, 6, "--method", "magnitude", "--name", "michel-after-6-seed1") == 2
    assert "made with other flags" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["prune", "12", "--method", "magic"], ["--method magic", "michel-iterative"]),
        (["prune", "12", "--tune", "0"], ["--tune 0", "epochs"]),
        (["train", "12", "--tune", "x"], ["--tune x", "epochs"]),
        (["train", "3:24", "--tune", "1"], ["--tune 1", "3:24", "prune.sh"]),
        (["prune"], ["K"]),
        (["prune", "12", "--seed", "9"], ["unpruned-seed9", "train.sh all --seed 9"]),
        (["train", "12:"], ["12:", "LO:HI"]),
        (["train", "12", "--", "--pruning-lr", "1"], ["flags after --", "dsp-12-seed1", "--name"]),
    ],
)
def test_wrong_use_is_one_line(out, arguments, words, capsys):
    name, *arguments = arguments
    assert in_process(name, out, *arguments) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"{name}.sh: ") and len(told.splitlines()) == 1, told
    assert all(word in told for word in words)
