"""Budgets in hidden units and in parameters through the console commands: exact, really smaller, decoded alike."""

import json
import shutil

import pytest
import torch
from trainings import TRAIN, logged, train

from dsp_fairseq.checkpoints.reading import kept_units, load
from dsp_fairseq.cli import main
from dsp_fairseq.errors import BadInput
from dsp_fairseq.structures import parameters
from dsp_fairseq.sweep.plan import Cell
from dsp_fairseq.sweep.trained import read

PLUGIN = ("--user-dir", "dsp_fairseq")


@pytest.fixture(scope="module")
def trained(run, corpus, tmp_path_factory):
    """A training for 40% of the prunable parameters, in groups of 16 hidden units."""
    folder = tmp_path_factory.mktemp("parameters")
    done = train(run, corpus, folder, "--parameters-to-keep", "40%", "--ffn-group", 16, "--max-update", 12)
    return done, folder / "checkpoint_last.pt"


def test_the_budget_is_kept_and_nothing_more_fits(trained):
    done, checkpoint = trained
    kept = kept_units(str(checkpoint))
    [share] = kept.plan.choice.shares
    spent = share.pool.amount_of(kept.mask)
    left_out = {
        block.cost
        for block, piece in zip(kept.inventory.blocks, kept.mask.split(kept.inventory.sizes), strict=True)
        if not piece.all()
    }
    assert 0 <= share.keep - spent < min(left_out)
    line = logged(done, "valid")[-1]
    assert int(line["valid_heads_kept"]) == sum(kept.per_kind[kind] for kind in kept.per_kind if "ffn" not in kind)
    assert int(line["valid_ffn_kept"]) == kept.per_kind["encoder.ffn"] + kept.per_kind["decoder.ffn"]


def test_the_pruned_model_is_smaller_and_translates_alike(run, corpus, trained, tmp_path):
    _, checkpoint = trained
    small, dense = tmp_path / "small.pt", tmp_path / "dense.pt"
    done = run("dsp-fairseq", "prune", checkpoint, small)
    assert done.returncode == 0 and "budget: " in done.stdout and "hidden units: " in done.stdout
    assert run("dsp-fairseq", "prune", checkpoint, dense, "--dense").returncode == 0
    weights, kept = load(str(small))["model"], kept_units(str(checkpoint))
    for block, units in zip(kept.inventory.blocks, kept.per_block, strict=True):
        if block.structure == "ffn":
            assert weights[f"{block.module}.fc1.weight"].shape[0] == units * 16
            assert weights[f"{block.module}.fc2.weight"].shape[1] == units * 16
    outputs = [
        run("fairseq-generate", corpus.data_bin, *plugin, "--path", path, "--beam", 3, "--max-len-b", 8).stdout
        for path, plugin in ((checkpoint, PLUGIN), (small, PLUGIN), (dense, ()))
    ]
    first, *others = [[line for line in text.splitlines() if line.startswith("H-")] for text in outputs]
    words = [[line.split("\t")[2] for line in lines] for lines in (first, *others)]
    assert words[0] and words[1] == words[0] and words[2] == words[0]


def test_it_trains_on_without_the_removed_units(run, corpus, trained, tmp_path):
    _, checkpoint = trained
    small = tmp_path / "small.pt"
    assert run("dsp-fairseq", "prune", checkpoint, small).returncode == 0
    train(run, corpus, tmp_path, "--finetune-from-model", small, "--pruning-method", "none", "--max-update", 2)
    before, after = (load(str(path))["model"] for path in (small, tmp_path / "checkpoint_last.pt"))
    name = "decoder.layers.0.fc1.weight"
    assert before[name].shape == after[name].shape and not torch.equal(before[name], after[name])
    report = json.loads(run("dsp-fairseq", "report", tmp_path / "checkpoint_last.pt", "--json").stdout)
    assert report["ffn"]["removed"] > 0 and report["ffn"]["pruned"] == 0


def test_another_choice_from_the_pruned_model_takes_its_groups_of_hidden_units(corpus, trained, tmp_path):
    from fairseq import options

    small = str(tmp_path / "small.pt")
    assert main(["prune", str(trained[1]), small]) == 0

    def parsed(*more):
        words = [str(corpus.data_bin), *TRAIN, "--finetune-from-model", small]
        words += ["--pruning-method", "dsp", "--parameters-to-keep", "20%", "--max-update", "40", *more]
        return options.parse_args_and_arch(options.get_training_parser(), words)

    assert parsed().ffn_group == parsed("--ffn-group", "16").ffn_group == 16
    with pytest.raises(BadInput, match=f"--ffn-group 8: {small} has lost groups of 16 hidden units; leave it out"):
        parsed("--ffn-group", "8")


def test_importance_meets_both_kinds_of_budget(run, corpus, trained, tmp_path):
    _, checkpoint = trained
    whole = tmp_path / "whole.pt"
    assert run("dsp-fairseq", "prune", checkpoint, whole, "--dense").returncode == 0
    for budget, words in (
        (["--parameters-to-keep", "30%"], "hidden units: 768 => "),
        (["--heads-to-keep", 9, "--ffn-to-keep", 160, "--step", 8], "hidden units: 768 => 160 of 768"),
    ):
        out = tmp_path / f"{len(budget)}.pt"
        done = run(
            "dsp-fairseq", "importance", whole, corpus.data_bin, out, *budget, "--ffn-group", 16, "--sentences", 20
        )
        assert done.returncode == 0 and words in done.stdout, done.stderr
    assert kept_units(str(out)).per_kind["encoder.ffn"] + kept_units(str(out)).per_kind["decoder.ffn"] == 160


def test_all_wrong_budgets_are_told_before_anything_is_written(run, corpus, tmp_path):
    done = train(
        run, corpus, tmp_path / "out", "--heads-to-keep", 40, "--ffn-to-keep", 100, "--ffn-group", 16, succeeds=False
    )
    assert done.returncode == 2
    assert "--heads-to-keep 40: must be 0 to 36" in done.stderr and "--ffn-to-keep 100: must be" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("budgets", [[], ["--heads-to-keep", 5, "--ffn-to-keep", "encoder.ffn=32,decoder.ffn=0"]])
def test_an_export_has_blocks_of_any_width(run, corpus, trained, tmp_path, budgets):
    pytest.importorskip("ctranslate2")
    _, checkpoint = trained
    small = tmp_path / "small.pt"
    assert run("dsp-fairseq", "prune", checkpoint, small, *budgets).returncode == 0
    done = run("dsp-fairseq", "export", "ctranslate2", small, tmp_path / "exported", "--data", corpus.data_bin)
    assert done.returncode == 0 and "scores as fairseq's" in done.stdout, done.stderr


def test_every_command_counts_heads_and_hidden_units_apart(run, corpus, trained, tmp_path):
    _, checkpoint = trained
    kept = kept_units(str(checkpoint))
    units = [sum(kept.per_kind[kind] for kind in kept.per_kind if ("ffn" in kind) is ffn) for ffn in (False, True)]
    words = f"{units[0]} of 36 heads and {units[1]} of 768 hidden units"
    shutil.copy(checkpoint, tmp_path / "again.pt")
    done = run("dsp-fairseq", "average", checkpoint, tmp_path / "again.pt", "--out", tmp_path / "mean.pt")
    assert words in done.stdout, done.stderr
    done = run("dsp-fairseq", "report", "--history", checkpoint.parent, "--plot", tmp_path / "history.png")
    assert words in done.stdout and (tmp_path / "history.png").stat().st_size > 10_000, done.stderr
    done = run("dsp-fairseq", "report", checkpoint, "--plot", tmp_path / "heat.png")
    assert done.returncode == 0 and f"{units[1]} of 768 hidden units kept" in done.stdout, done.stderr
    done = run(
        "dsp-fairseq", "bench", checkpoint, "--data", corpus.data_bin, "--with", "removed", "--sentences", 8,
        "--rounds", 1,
    )  # fmt: skip
    assert f"{units[0]}/36" in done.stdout, done.stderr
    done = run("fairseq-generate", corpus.data_bin, *PLUGIN, "--path", checkpoint, "--max-len-b", 3)
    assert f"{units[0]} of 36 heads (" in done.stderr + done.stdout and f"{units[1]} of 768 hidden units" in done.stderr


def test_a_sweep_tells_heads_hidden_units_and_parameters_of_its_cells(trained, tmp_path):
    _, checkpoint = trained
    cell = Cell(str(checkpoint.parent), "dsp", None, 1, {}, ("fairseq-train",), ())
    found = read(cell)
    assert {block.rpartition(".")[0] for block in found.heads} == {"encoder.self", "decoder.self", "decoder.cross"}
    assert found.kept.keys() == found.heads.keys()
    assert found.ffn == sum(kept_units(str(checkpoint)).per_kind[kind] for kind in ("encoder.ffn", "decoder.ffn"))
    assert main(["prune", str(checkpoint), str(tmp_path / "small.pt")]) == 0
    assert found.parameters == parameters.total(load(str(tmp_path / "small.pt"))["model"])
