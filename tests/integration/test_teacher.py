"""Training with a teacher through the console commands: it teaches, in any precision and process, and stays out."""

from pathlib import Path

import pytest
import torch
from trainings import TRAIN, assert_same_state, flat, heads_of_generate, logged, train

from dsp_fairseq.checkpoints.reading import load

CHOICE = ["--heads-to-keep", 10, "--search-updates", 12, "--search-warmup-updates", 4, "--max-update", 16]


@pytest.fixture(scope="module")
def teacher(run, corpus, tmp_path_factory):
    """A gated model with 20 of 36 heads, trained for a while."""
    folder = tmp_path_factory.mktemp("teacher")
    train(run, corpus, folder, "--pruning-method", "uniform", "--heads-to-keep", 20, "--max-update", 40)
    return folder / "checkpoint_last.pt"


def test_a_student_comes_closer_and_its_checkpoint_holds_no_teacher(run, corpus, teacher, tmp_path):
    options = ["--teacher", teacher, "--distillation-weight", 1, "--log-interval", 1]
    done = train(run, corpus, tmp_path, *CHOICE, *options)
    inner = logged(done, "train_inner")
    assert [line["loss"] for line in inner] == [line["distillation"] for line in inner]
    assert float(inner[-1]["distillation"]) < 0.8 * float(inner[0]["distillation"])
    [valid] = logged(done, "valid")
    assert "valid_distillation" not in valid and float(valid["valid_loss"]) > float(valid["valid_nll_loss"]) > 1
    plain = tmp_path / "plain"
    train(run, corpus, plain, *CHOICE)
    taught, alone = (load(str(folder / "checkpoint_last.pt")) for folder in (tmp_path, plain))
    assert taught["model"].keys() == alone["model"].keys() and not taught.get("criterion")
    assert flat(taught["last_optimizer_state"]).keys() == flat(alone["last_optimizer_state"]).keys()
    teacher.rename(teacher.with_suffix(".away"))  # decoding and validation need no teacher
    try:
        assert heads_of_generate(run, corpus, tmp_path / "checkpoint_last.pt") == 10
        paths = ["--user-dir", "dsp_fairseq", "--path", tmp_path / "checkpoint_last.pt"]
        assert run("fairseq-validate", corpus.data_bin, *paths, "--max-tokens", 800).returncode == 0
    finally:
        teacher.with_suffix(".away").rename(teacher)


def test_what_is_left_after_prune_learns_from_it_restarted_bit_for_bit(run, corpus, teacher, tmp_path):
    small = tmp_path / "small.pt"
    assert run("dsp-fairseq", "prune", teacher, small, "--heads-to-keep", 6).returncode == 0
    options = ["--finetune-from-model", small, "--pruning-method", "none", "--teacher", teacher, "--dropout", 0.1]
    options += ["--update-freq", 2]
    train(run, corpus, tmp_path / "whole", *options, "--max-update", 4)
    for updates in (2, 4):
        done = train(run, corpus, tmp_path / "parts", *options, "--max-update", updates)
    assert float(logged(done, "train")[-1]["train_distillation"]) > 0
    assert_same_state(*(load(str(tmp_path / name / "checkpoint_last.pt")) for name in ("whole", "parts")))
    assert heads_of_generate(run, corpus, tmp_path / "whole" / "checkpoint_last.pt", "--quiet") == 6


@pytest.mark.parametrize("precision", ["--memory-efficient-bf16", "--memory-efficient-fp16", "--amp"])
def test_in_half_precision(run, corpus, teacher, tmp_path, precision):
    options = ["--teacher", teacher, "--max-tokens", 200, "--log-interval", 1, "--fp16-init-scale", 4]
    found = [
        float(
            logged(train(run, corpus, tmp_path / str(i), *CHOICE, *options, *extra), "train")[-1]["train_distillation"]
        )
        for i, extra in enumerate(([], [precision]))
    ]
    assert found[1] == pytest.approx(found[0], rel=0.05)


def test_two_processes_learn_what_one_does_with_twice_the_batches(run, corpus, teacher, tmp_path):
    """With scores of weights, whose mask opens or closes with a threshold that no score comes near."""
    options = ["--pruning-method", "movement", "--pruning-lr", 1, "--final-threshold", 0.3, "--max-update", 7]
    options += ["--movement-penalty", 0, "--max-tokens", 400, "--teacher", teacher]
    train(run, corpus, tmp_path / "one", *options, "--update-freq", 2)
    ranked = Path(__file__).parent / "ranked_training.py"
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", ranked]
    options += ["--distributed-backend", "gloo", "--ddp-backend", "legacy_ddp", "--cpu"]
    done = run("python", *launcher, tmp_path, corpus.data_bin, *TRAIN, *options, "--save-dir", tmp_path / "two")
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = (flat(load(str(tmp_path / name / "checkpoint_last.pt"))["model"]) for name in ("one", "two"))
    assert one.keys() == two.keys()
    assert all(torch.allclose(one[name], two[name], rtol=1e-3, atol=1e-4) for name in one)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    assert torch.equal(first["scores"], second["scores"]) and torch.equal(first["scores"], two["/gates.scores"])
    closed = two["/gates.scores"] < two["/gates.level"].logit()
    assert 0.05 < closed.double().mean() < 0.95


def test_a_wrong_teacher_is_told_with_all_other_problems(run, corpus, tmp_path):
    folder = tmp_path / "run"
    options = ["--heads-to-keep", 99, "--teacher", tmp_path / "nowhere.pt", "--distillation-weight", 2]
    done = train(run, corpus, folder, *options, succeeds=False)
    lines = [line for line in done.stderr.strip().splitlines() if " | INFO | " not in line]
    assert done.returncode == 2 and len(lines) == 4, done.stderr
    assert "--distillation-weight 2.0" in done.stderr and "nowhere.pt: does not exist" in done.stderr
    assert "--search-updates" in done.stderr and not folder.exists()
