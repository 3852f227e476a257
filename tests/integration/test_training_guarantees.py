"""What a training may rely on: it resumes bit for bit, in any precision, averaged, stopped early."""

from pathlib import Path

import pytest
import torch
from fairseq.checkpoint_utils import save_ema_as_checkpoint
from trainings import (
    TRAIN,
    assert_same_state,
    assert_two_did_what_one_did,
    heads_of_generate,
    logged,
    train,
    train_in_two_processes,
)

from dsp_fairseq.checkpoints.reading import kept_units, load

HERE = Path(__file__).parent
# the budget falls from update 4 to 12, so that a training may be cut in the middle of the search
SEARCH = ["--heads-to-keep", 10, "--search-updates", 12, "--search-warmup-updates", 4, "--max-update", 16]
SMALLER = ["--layers-to-keep", "encoder=2,decoder=2", "--ffn-to-keep", 160, "--ffn-group", 16]  # beside the heads
SAVES = ["--save-interval-updates", 3, "--keep-interval-updates", 1, "--dropout", 0.1, "--log-interval", 1]


def losses(done):
    lines = logged(done, "train_inner")
    shown = ("loss", "gnorm", "temperature", "heads_kept")
    return {line["num_updates"]: [line[name] for name in shown] for line in lines}


def killed(run, corpus, folder, part, number):
    flags = [*TRAIN, *SEARCH, *SAVES, "--save-dir", folder]
    done = run("python", HERE / "killed_training.py", part, number, corpus.data_bin, *flags, fresh=True)
    assert done.returncode == -9, done.stderr[-2000:]


def test_killed_in_the_middle_of_saves_it_goes_on_bit_for_bit(run, corpus, tmp_path):
    whole = train(run, corpus, tmp_path / "whole", *SEARCH, *SAVES)
    folder = tmp_path / "killed"
    killed(run, corpus, folder, "write", 2)  # at update 6, with the checkpoint of update 3 in place
    assert load(str(folder / "checkpoint_last.pt"))["optimizer_history"][-1]["num_updates"] == 3
    killed(run, corpus, folder, "copy", 2)  # at update 6 again: written, not yet copied to every name
    assert load(str(folder / "checkpoint_last.pt"))["optimizer_history"][-1]["num_updates"] in (3, 6)
    killed(run, corpus, folder, "write", 3)
    rest = train(run, corpus, folder, *SEARCH, *SAVES)
    first, last = (load(str(tmp_path / name / "checkpoint_last.pt")) for name in ("whole", "killed"))
    assert_same_state(first, last)
    seen, expected = losses(rest), losses(whole)
    assert 3 <= len(seen) < len(expected) == 16
    assert seen == {update: expected[update] for update in seen}
    assert not list(folder.glob("*.tmp"))


PRECISIONS = {
    "memory-efficient-fp16": ["--memory-efficient-fp16"],
    "fp16": ["--fp16", "--fp16-no-flatten-grads"],
    "memory-efficient-bf16": ["--memory-efficient-bf16"],
    "bf16": ["--bf16", "--fp16-no-flatten-grads"],
    "amp": ["--amp"],
}
# without a prior the logits start at 0: where they are is how far they went
CHOICE = [
    *("--heads-to-keep", 10, "--search-updates", 7, "--search-warmup-updates", 0, "--max-update", 7),
    *SMALLER,
    *("--uniform-prior", 0, "--pruning-lr", 0.2, "--max-tokens", 200, "--fp16-init-scale", 4),
]


@pytest.fixture(scope="module")
def in_full_precision(run, corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fp32")
    train(run, corpus, folder, *CHOICE)
    return load(str(folder / "checkpoint_last.pt"))["model"]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_half_precision_chooses_in_64_bit_at_its_own_rate(run, corpus, tmp_path, in_full_precision, precision):
    train(run, corpus, tmp_path, *CHOICE, *PRECISIONS[precision])
    model = load(str(tmp_path / "checkpoint_last.pt"))["model"]
    assert model["gates.logits"].dtype == model["gates.adam.mean"].dtype == torch.float64
    assert float(model["gates.adam.steps"]) == 6
    weight = model["encoder.layers.0.fc1.weight"]  # fairseq saves float32, whatever it trained in
    kinds = {"amp": torch.float32, "bf16": torch.bfloat16, "memory-efficient-bf16": torch.bfloat16}
    assert torch.equal(weight, weight.to(kinds.get(precision, torch.half)).float())
    # noise and schedule are the same, so the logits are too, up to the rounding of gradients
    expected = in_full_precision["gates.logits"]
    assert expected.abs().max() > 0.5
    close = (model["gates.logits"] - expected).abs() < 0.05
    # bf16 has 8 bits: the sign of a small gradient is chance, of which Adam makes a whole step
    assert close.double().mean() > (0.85 if "bf16" in precision else 0.999), model["gates.logits"] - expected
    assert heads_of_generate(run, corpus, tmp_path / "checkpoint_last.pt") == 10


def test_clipping_sees_the_gradient_of_the_weights_alone(run, corpus, tmp_path):
    found = []
    for norm in (0.0, 1e-3):
        options = ["--pruning-method", "ste", "--heads-to-keep", 10, "--max-update", 1, "--clip-norm", norm]
        done = train(run, corpus, tmp_path / str(norm), *options, "--log-interval", 1)
        state = load(str(tmp_path / str(norm) / "checkpoint_last.pt"))["model"]
        found.append((logged(done, "train_inner")[0]["gnorm"], state["gates.logits"].tolist()))
    # Adam's first step is the rate, whatever the gradient, but for rounding
    assert found[1][1] == pytest.approx(found[0][1], abs=1e-6)
    assert float(found[1][0]) == pytest.approx(float(found[0][0]), rel=1e-2) and float(found[0][0]) > 1e-3


def test_means_of_weights_and_logits_decode_exactly_k(run, corpus, tmp_path):
    train(run, corpus, tmp_path, *SEARCH, "--store-ema", "--ema-decay", 0.5, "--save-interval-updates", 6)
    save_ema_as_checkpoint(str(tmp_path / "checkpoint_last.pt"), str(tmp_path / "ema.pt"))
    last, mean = (load(str(tmp_path / name))["model"] for name in ("checkpoint_last.pt", "ema.pt"))
    assert not torch.equal(last["encoder.layers.0.fc1.weight"], mean["encoder.layers.0.fc1.weight"])
    assert heads_of_generate(run, corpus, tmp_path / "ema.pt") == 10
    saved = sorted(tmp_path.glob("checkpoint_1_*.pt"))
    assert len(saved) == 2  # one from within the search, one from its end
    done = run("dsp-fairseq", "average", *saved, "--out", tmp_path / "mean.pt")
    assert done.returncode == 0 and "10 of 36 heads" in done.stdout, done.stderr
    assert heads_of_generate(run, corpus, tmp_path / "mean.pt") == 10


def test_a_training_that_loses_patience_in_the_search_still_decodes_exactly_k(run, corpus, tmp_path):
    options = ["--patience", 2, "--validate-interval-updates", 1, "--lr", 1e-30, "--warmup-updates", 1]
    done = train(run, corpus, tmp_path, *SEARCH, *options)
    assert "early stop" in done.stdout + done.stderr
    state = load(str(tmp_path / "checkpoint_last.pt"))
    assert state["optimizer_history"][-1]["num_updates"] < 12
    assert kept_units(str(tmp_path / "checkpoint_last.pt")).mask.sum() == 10


def test_two_processes_do_what_one_does_with_twice_the_batches(run, corpus, tmp_path):
    options = [*SEARCH, *SMALLER, "--max-tokens", 400, "--log-interval", 1]
    train(run, corpus, tmp_path / "one", *options, "--update-freq", 2)
    gates = train_in_two_processes(run, corpus, tmp_path / "two", *options)
    one, two = (load(str(tmp_path / name / "checkpoint_last.pt"))["model"] for name in ("one", "two"))
    assert_two_did_what_one_did(one, two, gates)
