"""Budgets in layers through the console commands: exact for each stack, really gone, decoded alike."""

import json
import shutil

import pytest
import torch
from trainings import assert_same_state, logged, train

from dsp_fairseq.checkpoints.reading import kept_units, load
from dsp_fairseq.sweep.plan import Cell
from dsp_fairseq.sweep.trained import read

PLUGIN = ("--user-dir", "dsp_fairseq")
BUDGET = ["--layers-to-keep", "encoder=2,decoder=1", "--heads-to-keep", 10]
SEARCH = ["--search-updates", 8, "--search-warmup-updates", 2, "--max-update", 10, "--log-interval", 1]
FEW = ["--beam", 2, "--max-len-b", 6, "--gen-subset", "valid", "--num-workers", 0]


@pytest.fixture(scope="module")
def trained(run, corpus, tmp_path_factory):
    """A training for 2 of 3 encoder layers, 1 of 3 decoder layers, and 10 heads in them."""
    folder = tmp_path_factory.mktemp("layers")
    done = train(run, corpus, folder, *BUDGET, *SEARCH, "--save-interval-updates", 5)
    return done, folder / "checkpoint_last.pt"


def translations(run, corpus, checkpoint, *plugin):
    done = run("fairseq-generate", corpus.data_bin, *plugin, "--path", checkpoint, *FEW)
    assert done.returncode == 0, done.stderr
    return [line.split("\t")[2] for line in done.stdout.splitlines() if line.startswith("H-")]


def test_the_numbers_of_layers_fall_to_the_budget_and_are_logged(trained):
    done, checkpoint = trained
    lines = logged(done, "train_inner")
    layers, heads = ([int(line[name]) for line in lines] for name in ("layers_kept", "heads_kept"))
    assert layers == sorted(layers, reverse=True) and (layers[0], layers[-1]) == (6, 3)
    assert (heads[0], heads[-1]) == (36, 10)
    line = logged(done, "valid")[-1]
    assert (int(line["valid_layers_kept"]), int(line["valid_heads_kept"])) == (3, 10)
    assert [int(lines[-1][f"kept_{stack}_layers"]) for stack in ("encoder", "decoder")] == [2, 1]
    kept = kept_units(str(checkpoint))
    assert (kept.per_kind["encoder.layers"], kept.per_kind["decoder.layers"]) == (2, 1)
    assert sum(kept.per_kind[f"{kind}"] for kind in ("encoder.self", "decoder.self", "decoder.cross")) == 10


def test_a_resumed_training_equals_an_uninterrupted_one(run, corpus, trained, tmp_path):
    _, checkpoint = trained
    train(run, corpus, tmp_path, *BUDGET, *SEARCH, "--restore-file", checkpoint.parent / "checkpoint_1_5.pt")
    assert_same_state(*(load(str(path)) for path in (checkpoint, tmp_path / "checkpoint_last.pt")))


def test_the_pruned_model_has_fewer_layers_and_translates_alike(run, corpus, trained, tmp_path):
    _, checkpoint = trained
    small, dense = tmp_path / "small.pt", tmp_path / "dense.pt"
    done = run("dsp-fairseq", "prune", checkpoint, small)
    assert done.returncode == 0 and "layers: 3 + 3 => 2 + 1 of 3 + 3" in done.stdout, done.stderr
    assert run("dsp-fairseq", "prune", checkpoint, dense, "--dense").returncode == 0
    for path in (small, dense):
        state = load(str(path))
        assert (state["cfg"]["model"].encoder_layers, state["cfg"]["model"].decoder_layers) == (2, 1)
        assert not any(".layers.2." in name or "decoder.layers.1." in name for name in state["model"])
    first = translations(run, corpus, checkpoint, *PLUGIN)
    assert first and translations(run, corpus, small, *PLUGIN) == first and translations(run, corpus, dense) == first
    # what is left trains on, and goes on after an interruption, with the flags of the first training
    again = ["--finetune-from-model", small, "--pruning-method", "none"]
    train(run, corpus, tmp_path / "tuned", *again, "--max-update", 1)
    train(run, corpus, tmp_path / "tuned", "--pruning-method", "none", "--max-update", 2)
    wrong = train(run, corpus, tmp_path / "other", *again, "--encoder-layers", 4, succeeds=False)
    assert wrong.returncode == 2 and "--encoder-layers 4 (there 2)" in wrong.stderr
    before, after = (load(str(path))["model"] for path in (small, tmp_path / "tuned" / "checkpoint_last.pt"))
    assert not torch.equal(before["decoder.layers.0.fc1.weight"], after["decoder.layers.0.fc1.weight"])


def test_importance_prunes_layers_of_a_stock_model_to_a_stock_model(run, corpus, trained, tmp_path):
    _, checkpoint = trained
    stock = tmp_path / "stock.pt"
    whole = ["--layers-to-keep", "encoder=3,decoder=3", "--heads-to-keep", 36]
    assert run("dsp-fairseq", "prune", checkpoint, stock, *whole, "--dense").returncode == 0
    for score in (["--score", "magnitude"], ["--score", "gradient", "--sentences", 20]):
        out, dense = tmp_path / f"{score[1]}.pt", tmp_path / f"{score[1]}-dense.pt"
        data = [corpus.data_bin] if score[1] == "gradient" else []
        done = run("dsp-fairseq", "importance", stock, *data, out, *score, "--layers-to-keep", "encoder=1,decoder=2")
        assert done.returncode == 0 and "layers: 3 + 3 => 1 + 2 of 3 + 3" in done.stdout, done.stderr
        assert "decodes with 20 of 36 heads and 1 of 3 + 2 of 3 layers" in done.stdout
        assert run("dsp-fairseq", "prune", out, dense, "--dense").returncode == 0
        weights = load(str(dense))["model"]
        assert all(weight.any(dim=1).all() for name, weight in weights.items() if name.endswith("q_proj.weight"))
    first = translations(run, corpus, out, *PLUGIN)
    assert first and translations(run, corpus, dense) == first
    fewer = run("dsp-fairseq", "prune", out, tmp_path / "fewer.pt", "--layers-to-keep", "encoder=1,decoder=1")
    assert "layers: 3 + 3 => 1 + 1 of 3 + 3" in fewer.stdout, fewer.stderr


def test_an_export_has_the_layers_that_are_kept(run, corpus, trained, tmp_path):
    pytest.importorskip("ctranslate2")
    _, checkpoint = trained
    done = run("dsp-fairseq", "export", "ctranslate2", checkpoint, tmp_path / "exported", "--data", corpus.data_bin)
    assert done.returncode == 0 and "scores as fairseq's" in done.stdout, done.stderr
    assert "layers: 3 + 3 => 2 + 1 of 3 + 3" in done.stdout and "nothing" in done.stdout


def test_every_command_counts_layers(run, corpus, trained, tmp_path):
    _, checkpoint = trained
    words = "10 of 36 heads and 2 of 3 + 1 of 3 layers"
    shutil.copy(checkpoint, tmp_path / "again.pt")
    done = run("dsp-fairseq", "average", checkpoint, tmp_path / "again.pt", "--out", tmp_path / "mean.pt")
    assert words in done.stdout, done.stderr
    done = run("dsp-fairseq", "report", "--history", checkpoint.parent, "--plot", tmp_path / "history.png")
    assert words in done.stdout and (tmp_path / "history.png").stat().st_size > 10_000, done.stderr
    done = run("dsp-fairseq", "report", checkpoint, "--plot", tmp_path / "heat.png")
    assert done.returncode == 0 and "2 of 3 + 1 of 3 layers kept" in done.stdout, done.stderr
    report = json.loads(run("dsp-fairseq", "report", checkpoint, "--json").stdout)
    assert report["layers"] == {"kept": 3, "pruned": 3, "removed": 0, "original": 6}
    stacks = [block for block in report["blocks"] if block["kind"].endswith(".layers")]
    assert [(len(block["kept"]), block["original_layers"]) for block in stacks] == [(2, 3), (1, 3)]
    small = tmp_path / "small.pt"
    assert run("dsp-fairseq", "prune", checkpoint, small).returncode == 0
    left = json.loads(run("dsp-fairseq", "report", small, "--json").stdout)
    assert report["parameters"]["total"] - report["parameters"]["in pruned heads"] == left["parameters"]["total"]
    done = run(
        "dsp-fairseq", "bench", checkpoint, "--data", corpus.data_bin, "--with", "stock", "masked", "removed",
        "--sentences", 8, "--rounds", 1, "--no-memory", "--beam", 2, "--max-len-a", 0, "--max-len-b", 5,
    )  # fmt: skip
    assert done.returncode == 0 and "10/36" in done.stdout, done.stderr
    assert f"{left['parameters']['total']:,}" in done.stdout
    done = run("fairseq-generate", corpus.data_bin, *PLUGIN, "--path", checkpoint, *FEW)
    assert "decoding with 10 of 36 heads (" in done.stderr and ", 2 of 3 + 1 of 3 layers" in done.stderr
    fewer = ["--model-overrides", "{'layers_to_keep': 'encoder=1,decoder=1', 'heads_to_keep': 5}"]
    done = run("fairseq-generate", corpus.data_bin, *PLUGIN, "--path", checkpoint, *FEW, *fewer)
    assert "decoding with 5 of 36 heads (" in done.stderr and ", 1 of 3 + 1 of 3 layers" in done.stderr
    cell = Cell(str(checkpoint.parent), "dsp", None, 1, {}, ("fairseq-train",), ())
    found = read(cell)
    assert sum(map(len, found.kept.values())) == 10 and found.parameters == left["parameters"]["total"]


def test_a_yaml_file_has_the_budget_too(run, corpus, tmp_path):
    done = run(
        "fairseq-hydra-train", "--config-dir", "examples/quickstart", "--config-name", "third",
        f"task.data={corpus.data_bin}", f"checkpoint.save_dir={tmp_path}", "common.user_dir=dsp_fairseq",
        "optimization.max_update=5", "dataset.max_tokens=800", '+model.layers_to_keep="encoder=2,decoder=1"',
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + done.stdout
    kept = kept_units(str(tmp_path / "checkpoint_last.pt"))
    assert (kept.per_kind["encoder.layers"], kept.per_kind["decoder.layers"]) == (2, 1)
    done = run("fairseq-generate", corpus.data_bin, *PLUGIN, "--path", tmp_path / "checkpoint_last.pt", *FEW)
    assert "decoding with 12 of 36 heads (" in done.stderr and ", 2 of 3 + 1 of 3 layers" in done.stderr


BAD = {
    "encoder=2": "--layers-to-keep encoder=2: must be a number for each stack, such as encoder=3,decoder=3",
    "encoder=2,decoder=0": "--layers-to-keep decoder=0: must be 1 to 3",
    "encoder=1,decoder=1": "--heads-to-keep 13: --layers-to-keep leaves 12 heads",
}


@pytest.mark.parametrize("value", BAD)
def test_bad_numbers_are_told_in_one_line_and_nothing_is_written(run, corpus, tmp_path, trained, value):
    _, checkpoint = trained
    for command in (
        ("fairseq-train", corpus.data_bin, "--user-dir", "dsp_fairseq", "--arch", "gated_transformer_tiny", "--task",
         "translation_pruning", "--criterion", "dsp_label_smoothed_cross_entropy", "--optimizer", "adam",
         "--max-tokens", 800, "--max-update", 10, "--save-dir", tmp_path / "out"),
        ("dsp-fairseq", "prune", checkpoint, tmp_path / "out"),
        ("dsp-fairseq", "importance", checkpoint, tmp_path / "out", "--score", "random"),
    ):  # fmt: skip
        done = run(*command, "--layers-to-keep", value, "--heads-to-keep", 10 if "0" in value else 13)
        assert done.returncode == 2 and not (tmp_path / "out").exists(), done.stderr
        told = BAD[value] if command[1] != "importance" else BAD[value].split(":")[0]
        assert told in done.stderr and "Traceback" not in done.stderr
