"""The main job through the stock console commands, each in a process of its own."""

import re

import pytest
import torch
from trainings import HEADS, TRAIN, logged, train

from dsp_fairseq.checkpoints.reading import kept_units, load


@pytest.fixture(scope="module")
def trained(run, corpus, tmp_path_factory):
    """A finished dsp training with K = 10: its folder and what it printed."""
    folder = tmp_path_factory.mktemp("trained")
    done = train(run, corpus, folder, "--heads-to-keep", 10, "--max-update", 30)
    return folder, done


def test_training_logs_heads_and_temperature(trained):
    _folder, done = trained
    inner = logged(done, "train_inner")
    heads = [int(line["heads_kept"]) for line in inner]
    assert heads[0] == HEADS and heads[-1] == 10
    assert heads == sorted(heads, reverse=True)
    assert float(inner[0]["temperature"]) == pytest.approx(0.5, rel=0.1)
    valid = logged(done, "valid")[-1]
    assert int(valid["valid_heads_kept"]) == 10
    assert {"valid_loss", "valid_nll_loss", "valid_ppl"} <= set(valid)


def test_checkpoint_keeps_exactly_k(trained):
    kept = kept_units(str(trained[0] / "checkpoint_last.pt"))
    assert kept.mask.sum() == 10
    assert sum(kept.per_block) == sum(kept.per_kind.values()) == 10


@pytest.mark.parametrize("overrides, heads", [(None, 10), ("{'heads_to_keep': 3}", 3)])
def test_generate_needs_only_the_user_dir(run, corpus, trained, overrides, heads):
    options = ["--model-overrides", overrides] if overrides else []
    done = run(
        "fairseq-generate", corpus.data_bin, "--user-dir", "dsp_fairseq", "--path",
        trained[0] / "checkpoint_last.pt", "--beam", 2, "--max-len-b", 10, "--gen-subset", "valid", *options,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    text = done.stdout + done.stderr
    assert re.findall(r"(\d+) of 36 heads", text) == [str(heads)]
    assert "BLEU4" in text


def test_interactive_and_validate_decode_the_same_heads(run, corpus, trained):
    checkpoint = trained[0] / "checkpoint_last.pt"
    done = run(
        "fairseq-interactive", corpus.data_bin, "--user-dir", "dsp_fairseq", "--path", checkpoint,
        "--max-len-b", 5, input="ein zug\n",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (done.stdout + done.stderr).count("10 of 36 heads") == 1
    assert "\nH-0\t" in done.stdout
    done = run(
        "fairseq-validate", corpus.data_bin, "--user-dir", "dsp_fairseq", "--path", checkpoint,
        "--max-tokens", 800, "--num-workers", 0,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (done.stdout + done.stderr).count("10 of 36 heads") == 1
    assert re.search(r"nll_loss", done.stdout + done.stderr)


@pytest.mark.parametrize(
    "method, keep, heads",
    [("none", None, 36), ("uniform", 9, 9), ("ste", 0, 0), ("dsp-published", 36, 36), ("dsp", 0, 0)],
)
def test_every_method_trains_and_keeps_exactly_k(run, corpus, tmp_path, method, keep, heads):
    options = [] if keep is None else ["--heads-to-keep", keep]
    done = train(run, corpus, tmp_path, "--pruning-method", method, *options, "--max-update", 4)
    assert kept_units(str(tmp_path / "checkpoint_last.pt")).mask.sum() == heads
    assert int(logged(done, "valid")[-1]["valid_heads_kept"]) == heads


@pytest.mark.parametrize("scheduler", [["inverse_sqrt"], ["fixed", "--force-anneal", "1"]])
def test_the_logits_have_a_rate_of_their_own(run, corpus, tmp_path, scheduler):
    """Adam's first step is the rate itself, whatever rate the scheduler writes for the weights."""
    logits = {}
    for rate in ("1e-9", "0.2"):
        base = [*TRAIN[: TRAIN.index("--lr-scheduler")], "--lr-scheduler", *scheduler]
        base += TRAIN[TRAIN.index("--max-tokens") :]
        train(
            run, corpus, tmp_path / rate, "--pruning-method", "dsp-published", "--heads-to-keep", 12,
            "--initial-temperature", 2.0, "--max-update", 1, "--pruning-lr", rate, base=base,
        )  # fmt: skip
        logits[rate] = kept_units(str(tmp_path / rate / "checkpoint_last.pt")).logits
    moved = (logits["0.2"] - logits["1e-9"]).abs()
    assert torch.allclose(moved, torch.full_like(moved, 0.2), atol=1e-3)


def test_eval_bleu_works_and_its_checkpoint_is_restored(run, corpus, tmp_path):
    options = ["--heads-to-keep", 12, "--eval-bleu", "--eval-bleu-args", '{"beam": 1, "max_len_b": 5}']
    options += ["--eval-bleu-remove-bpe", "--search-updates", 2]
    done = train(run, corpus, tmp_path, *options, "--max-update", 2)
    assert "valid_bleu" in logged(done, "valid")[-1]
    done = train(run, corpus, tmp_path, *options, "--max-update", 4)
    assert "Loaded checkpoint" in done.stdout + done.stderr
    assert load(str(tmp_path / "checkpoint_last.pt"))["optimizer_history"][-1]["num_updates"] == 4


def test_stock_checkpoints_load(run, corpus, tmp_path):
    stock = [word for word in TRAIN if word not in ("--user-dir", "dsp_fairseq")]
    for option, value in (("--arch", "transformer_tiny"), ("--task", "translation")):
        stock[stock.index(option) + 1] = value
    stock[stock.index("--criterion") + 1] = "label_smoothed_cross_entropy"
    shape = []
    for side in ("encoder", "decoder"):
        shape += [f"--{side}-layers", 3, f"--{side}-attention-heads", 4, f"--{side}-ffn-embed-dim", 128]
        shape += [f"--{side}-embed-dim", 64]
    train(run, corpus, tmp_path / "stock", *shape, "--max-update", 3, base=stock)
    checkpoint = tmp_path / "stock" / "checkpoint_last.pt"
    pruning = ["--heads-to-keep", 5, "--pruning-lr", "1e-9", "--lr", "1e-9", "--max-update", 1]
    train(run, corpus, tmp_path / "tuned", *pruning, "--finetune-from-model", checkpoint)
    train(
        run, corpus, tmp_path / "restored", *pruning, "--restore-file", checkpoint,
        "--reset-optimizer", "--reset-dataloader", "--reset-lr-scheduler", "--reset-meters",
    )  # fmt: skip
    weights = load(str(checkpoint))["model"]
    for name in ("tuned", "restored"):
        ours = load(str(tmp_path / name / "checkpoint_last.pt"))["model"]
        for key in ("encoder.embed_tokens.weight", "decoder.layers.2.encoder_attn.q_proj.weight"):
            assert torch.allclose(weights[key], ours[key], atol=1e-6), (name, key)
