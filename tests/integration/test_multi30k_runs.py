"""train.sh, prune.sh and results.py of examples/multi30k, one epoch each on the generated corpus."""

import os
import shutil
import subprocess
import sys

import pytest
import torch
from conftest import COMMANDS, PROJECT

from dsp_fairseq.checkpoints.reading import kept_heads, load

EXAMPLE = PROJECT / "examples" / "multi30k"


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
    """As prepare.sh leaves it, with the unpruned model trained for an epoch."""
    folder = tmp_path_factory.mktemp("multi30k")
    shutil.copytree(corpus.data_bin, folder / "data-bin")
    (folder / "tok").mkdir()
    shutil.copy(corpus.text / "test.en", folder / "tok" / "test_2016_flickr.en")
    assert script("prune", folder, 12).returncode == 2  # there is no unpruned model yet
    succeed("train", folder, "all", "--name", "all-seed1", "--", "--max-epoch", 1)
    return folder


def heads(out, run):
    return int(kept_heads(str(out / "runs" / run / "checkpoint_last.pt")).mask.sum())


def test_every_way_from_the_unpruned_model_to_the_table(out):
    said = succeed("prune", out, 12, "--method", "dsp", "--tune", 1)
    assert "dsp-after-12-seed1-tuned1" in said and "train: done" not in said
    assert heads(out, "dsp-after-12-seed1") == heads(out, "dsp-after-12-seed1-tuned1") == 12
    succeed("prune", out, 12, "--method", "dsp")  # the choice is there: decoded and scored only
    succeed("prune", out, 6, "--method", "michel")
    assert heads(out, "michel-after-6-seed1") == 6
    done = subprocess.run(
        [sys.executable, str(EXAMPLE / "results.py"), "--out", str(out), "--results", str(out / "results")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    rows = (out / "results" / "scores.csv").read_text().splitlines()[1:]
    names = ["all-seed1", "dsp-after-12-seed1", "michel-after-6-seed1", "dsp-after-12-seed1-tuned1"]
    assert [row.split(",")[0] for row in rows] == names
    assert sum(map(int, rows[2].split(",")[3:])) == 6


def test_a_training_from_scratch_is_tuned_like_the_others(out):
    said = succeed("train", out, "all", "--name", "all-seed1", "--tune", 1, "--", "--max-epoch", 1)
    assert "train: done before, skipped" in said and "| all-seed1-tuned1 |" in said
    before, after = (load(str(out / "runs" / run / "checkpoint_last.pt")) for run in ("all-seed1", "all-seed1-tuned1"))
    name = "encoder.layers.0.fc1.weight"
    assert not torch.equal(before["model"][name], after["model"][name])
    assert after["cfg"]["optimization"]["lr"] == [1e-3]


def test_another_seed_is_another_run(out):
    succeed("prune", out, 6, "--method", "magnitude")
    (out / "runs" / "all-seed2").symlink_to(out / "runs" / "all-seed1")
    done = script("prune", out, 6, "--method", "magnitude", "--seed", 2, "--name", "magnitude-after-6-seed1")
    assert done.returncode == 2 and "made with other flags" in done.stderr


def test_any_k_from_one_training(out):
    succeed("train", out, "3:24", "--name", "dsp-3to24-seed1", "--", "--max-epoch", 1)
    succeed("prune", out, 5, "--method", "any-k")
    assert heads(out, "any-k-after-5-seed1") == 5


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["prune", "12", "--method", "magic"], ["--method magic", "michel-iterative"]),
        (["prune", "12", "--tune", "0"], ["--tune 0", "epochs"]),
        (["train", "12", "--tune", "x"], ["--tune x", "epochs"]),
        (["train", "3:24", "--tune", "1"], ["--tune 1", "3:24", "prune.sh"]),
        (["prune"], ["K"]),
        (["prune", "12", "--seed", "9"], ["all-seed9", "train.sh all --seed 9"]),
        (["train", "12:"], ["12:", "LO:HI"]),
        (["train", "12", "--", "--pruning-lr", "1"], ["flags after --", "dsp-12-seed1", "--name"]),
        (["prune", "12", "--", "--pruning-lr", "1"], ["flags after --", "dsp-after-12-seed1", "--name"]),
    ],
)
def test_wrong_use_is_one_line(out, arguments, words):
    done = script(arguments[0], out, *arguments[1:])
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr
    assert all(word in done.stderr for word in words)
