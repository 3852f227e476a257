"""Every way to choose heads through the console commands: a few updates, then exactly what was asked for."""

import pytest
import torch
from trainings import HEADS, heads_of_generate, logged, train

from dsp_fairseq.checkpoints.reading import kept_units, load

STOCK = [
    *("--arch", "transformer", "--encoder-layers", 3, "--decoder-layers", 3),
    *("--encoder-embed-dim", 64, "--decoder-embed-dim", 64, "--encoder-ffn-embed-dim", 128),
    *("--decoder-ffn-embed-dim", 128, "--encoder-attention-heads", 4, "--decoder-attention-heads", 4),
    *("--share-all-embeddings", "--optimizer", "adam", "--lr", 3e-3, "--max-tokens", 800),
    *("--no-epoch-checkpoints", "--num-workers", 0, "--max-update", 5),
]


@pytest.fixture(scope="module")
def stock(run, corpus, tmp_path_factory):
    """A checkpoint of the stock transformer."""
    folder = tmp_path_factory.mktemp("stock")
    train(run, corpus, folder, base=STOCK)
    return folder / "checkpoint_last.pt"


def test_l0_counts_by_its_penalty_alone(run, corpus, stock, tmp_path):
    options = ["--finetune-from-model", stock, "--pruning-method", "l0", "--l0-penalty", 0.5, "--pruning-lr", 0.2]
    options += ["--prunable", "encoder.self", "--frozen", "decoder", "--max-update", 20]
    done = train(run, corpus, tmp_path, *options)
    inner = logged(done, "train_inner")
    assert float(inner[-1]["expected_heads"]) < float(inner[0]["expected_heads"])
    fixed = 24  # of the decoder
    priced = [float(line["penalty"]) / 0.5 + fixed for line in inner]
    assert priced == pytest.approx([float(line["expected_heads"]) for line in inner], abs=0.05)
    kept = kept_units(str(tmp_path / "checkpoint_last.pt"))
    assert kept.per_kind["decoder.self"] == kept.per_kind["decoder.cross"] == 12
    count = int(kept.mask.sum())
    assert count < HEADS
    assert int(logged(done, "valid")[-1]["valid_heads_kept"]) == count
    assert heads_of_generate(run, corpus, tmp_path / "checkpoint_last.pt") == count
    assert (
        heads_of_generate(run, corpus, tmp_path / "checkpoint_last.pt", "--model-overrides", "{'heads_to_keep': 26}")
        == 26
    )
    before, after = load(str(stock))["model"], load(str(tmp_path / "checkpoint_last.pt"))["model"]
    name = "layers.0.fc1.weight"
    assert torch.equal(before[f"decoder.{name}"], after[f"decoder.{name}"])
    assert not torch.equal(before[f"encoder.{name}"], after[f"encoder.{name}"])


@pytest.mark.parametrize(
    "method", [["dsp"], ["dsp-published", "--cooldown-updates", 10], ["l0", "--l0-penalty", 0.1]], ids=lambda m: m[0]
)
def test_pipelined_leaves_the_weights_alone(run, corpus, stock, tmp_path, method):
    options = ["--pruning-mode", "pipelined", "--finetune-from-model", stock, "--heads-to-keep", 9]
    train(run, corpus, tmp_path, *options, "--pruning-method", *method, "--max-update", 12)
    before, state = load(str(stock))["model"], load(str(tmp_path / "checkpoint_last.pt"))
    after = state["model"]
    weights = [name for name in before if name in after and not name.endswith("_float_tensor")]
    assert len(weights) > 100 and all(torch.equal(before[name], after[name]) for name in weights)
    assert sum(t.numel() for t in state["last_optimizer_state"]["state"][0].values() if torch.is_tensor(t)) <= 3
    assert float(after["gates.adam.steps"]) > 5
    assert heads_of_generate(run, corpus, tmp_path / "checkpoint_last.pt") == 9


def test_the_weights_train_on_under_a_pipelined_choice(run, corpus, stock, tmp_path):
    options = ["--pruning-mode", "pipelined", "--finetune-from-model", stock, "--heads-to-keep", 9]
    train(run, corpus, tmp_path, *options, "--max-update", 2)
    assert run("dsp-fairseq", "prune", tmp_path / "checkpoint_last.pt", tmp_path / "small.pt").returncode == 0
    options = ["--finetune-from-model", tmp_path / "small.pt", "--pruning-method", "none", "--max-update", 2]
    train(run, corpus, tmp_path / "tuned", *options)
    assert heads_of_generate(run, corpus, tmp_path / "tuned" / "checkpoint_last.pt") == 9


def test_pipelined_from_nothing_is_refused(run, corpus, tmp_path):
    options = ["--pruning-mode", "pipelined", "--heads-to-keep", 9, "--max-update", 2]
    done = train(run, corpus, tmp_path / "run", *options, succeeds=False)
    assert done.returncode == 2 and "--finetune-from-model" in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_range_decodes_any_of_its_k_with_nested_masks(run, corpus, tmp_path):
    done = train(run, corpus, tmp_path, "--heads-to-keep-range", "4:12", "--max-update", 30)
    counts = {int(line["heads_kept"]) for line in logged(done, "train_inner")[6:]}
    assert len(counts) > 2
    checkpoint = tmp_path / "checkpoint_last.pt"
    assert heads_of_generate(run, corpus, checkpoint) == 12
    assert heads_of_generate(run, corpus, checkpoint, "--model-overrides", "{'heads_to_keep': 5}") == 5
    kept = kept_units(str(checkpoint))
    assert not (kept.best(5) & ~kept.best(6)).any()


def test_budgets_of_each_kind_with_floor_and_cap(run, corpus, tmp_path):
    budget = "encoder.self=3,decoder.self=4,decoder.cross=6"
    options = ["--heads-to-keep", budget, "--min-heads-per-block", 1, "--max-heads-per-block", 2]
    train(run, corpus, tmp_path, *options, "--max-update", 20)
    kept = kept_units(str(tmp_path / "checkpoint_last.pt"))
    assert kept.per_kind == {"encoder.self": 3, "decoder.self": 4, "decoder.cross": 6}
    assert set(kept.per_block) == {1, 2}
    assert heads_of_generate(run, corpus, tmp_path / "checkpoint_last.pt") == 13
    assert run("dsp-fairseq", "prune", tmp_path / "checkpoint_last.pt", tmp_path / "small.pt").returncode == 0
    assert heads_of_generate(run, corpus, tmp_path / "small.pt") == 13
