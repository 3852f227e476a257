"""`--pruning-method l0` within budgets through the console commands: led to them, exact, restarted bit for bit."""

import torch
from trainings import assert_same_state, heads_of_generate, logged, train

from dsp_fairseq.checkpoints.reading import kept_units, load

L0 = ["--pruning-method", "l0", "--pruning-lr", 0.2, "--search-updates", 30, "--log-interval", 1]


def test_both_budgets_are_met_and_a_restart_goes_on_bit_for_bit(run, corpus, tmp_path):
    budgets = [*L0, "--heads-to-keep", 12, "--ffn-to-keep", 256, "--ffn-group", 32, "--dropout", 0.1]
    budgets += ["--save-interval-updates", 20]
    done = train(run, corpus, tmp_path / "whole", *budgets, "--max-update", 34)
    inner = logged(done, "train_inner")
    first, last = inner[0], inner[29]
    for name, total, budget in (("expected_heads", 36, 12), ("expected_ffn", 768, 256)):
        assert float(first[name]) > 0.9 * total
        assert abs(float(last[name]) - budget) < 0.15 * total, name
    assert {(line["heads_kept"], line["ffn_kept"]) for line in inner[30:]} == {("12", "256")}
    whole = tmp_path / "whole" / "checkpoint_last.pt"
    assert load(str(whole))["model"]["gates.multipliers"].abs().min() > 0
    parts = tmp_path / "parts"
    parts.mkdir()
    [middle] = (tmp_path / "whole").glob("checkpoint_*_20.pt")
    middle.rename(parts / "checkpoint_last.pt")
    train(run, corpus, parts, *budgets, "--max-update", 34)
    assert_same_state(load(str(whole)), load(str(parts / "checkpoint_last.pt")))
    small = tmp_path / "small.pt"
    assert run("dsp-fairseq", "prune", whole, small).returncode == 0
    assert heads_of_generate(run, corpus, whole) == heads_of_generate(run, corpus, small) == 12
    assert "gates.multipliers" not in load(str(small))["model"]
    options = ["--finetune-from-model", whole, "--pruning-method", "none", "--max-update", 1]
    train(run, corpus, tmp_path / "all", *options)


def test_half_precision_and_parameters(run, corpus, tmp_path):
    budget = [*L0, "--parameters-to-keep", "30%", "--ffn-group", 32, "--max-update", 31]
    train(run, corpus, tmp_path, *budget, "--memory-efficient-bf16")
    checkpoint = str(tmp_path / "checkpoint_last.pt")
    kept = kept_units(checkpoint)
    [share] = kept.plan.choice.shares
    assert share.pool.amount_of(kept.mask) <= share.keep
    assert torch.equal(kept.mask, kept.plan.choice.mask(kept.logits))
    assert load(checkpoint)["model"]["gates.multipliers"].dtype == torch.float64


def test_a_search_needs_an_end(run, corpus, tmp_path):
    folder = tmp_path / "run"
    done = train(run, corpus, folder, "--pruning-method", "l0", "--heads-to-keep", 3, succeeds=False)
    assert done.returncode == 2 and "--search-updates is missing" in done.stderr and not folder.exists()
