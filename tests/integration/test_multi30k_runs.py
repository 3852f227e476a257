"""train.sh and prune.sh of examples/multi30k, one epoch each on the generated corpus."""

import os
import shutil
import subprocess
import sys

import pytest
import torch
from console import COMMANDS, PROJECT

from dsp_fairseq.checkpoints.reading import kept_units, load

EXAMPLE = PROJECT / "examples" / "multi30k"
sys.path.insert(0, str(EXAMPLE))
import one  # noqa: E402


def script(name, out, *arguments):
    env = {**os.environ, "PATH": f"{COMMANDS}{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    command = ["bash", EXAMPLE / f"{name}.sh", *arguments, "--out", out]
    if "--" in arguments:
        split = arguments.index("--")
        command = ["bash", EXAMPLE / f"{name}.sh", *arguments[:split], "--out", out, *arguments[split:]]
    return subprocess.run([str(word) for word in command], env=env, capture_output=True, text=True, timeout=900)


def succeed(*arguments):
    done = script(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def out(corpus, tmp_path_factory):
    """As prepare.sh leaves it."""
    folder = tmp_path_factory.mktemp("multi30k")
    shutil.copytree(corpus.data_bin, folder / "data-bin")
    return folder


def test_every_way_from_the_unpruned_model_to_the_table(out):
    assert script("prune", out, 12).returncode == 2  # there is no unpruned model yet
    said = succeed("train", out, "all", "--name", "unpruned-seed1", "--", "--max-epoch", 1)
    assert "| unpruned-seed1 | 15 |" in said
    said = succeed("prune", out, 6, "--method", "michel", "--tune", 1)
    assert "| michel-after-6-seed1 | - |" in said and "| michel-after-6-seed1-tuned1 | 15 |" in said
    for name in ("", "-tuned1"):
        kept = kept_units(str(out / "runs" / f"michel-after-6-seed1{name}" / "checkpoint_last.pt"))
        assert int(kept.mask.sum()) == 6
    chosen, tuned = (load(str(out / "runs" / f"michel-after-6-seed1{name}" / "checkpoint_last.pt"))
                     for name in ("", "-tuned1"))  # fmt: skip
    weight = "encoder.layers.0.fc1.weight"
    assert not torch.equal(chosen["model"][weight], tuned["model"][weight])
    assert tuned["cfg"]["optimization"]["lr"] == [1e-3]
    again = succeed("prune", out, 6, "--method", "michel", "--tune", 1)
    assert again == said
    done = script("prune", out, 6, "--method", "magnitude", "--name", "michel-after-6-seed1")
    assert done.returncode == 2 and "made with other flags" in done.stderr


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
    split = arguments.index("--") if "--" in arguments else len(arguments)
    assert one.main([f"{name}.sh", *arguments[:split], "--out", str(out), *arguments[split:]]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"{name}.sh: ") and len(told.splitlines()) == 1, told
    assert all(word in told for word in words)
