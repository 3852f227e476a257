"""What commands print counts hidden units and layers as well as heads, each by its name."""

import csv
import io
import json
from argparse import Namespace

import pytest
import torch
from fairseq.models import ARCH_MODEL_REGISTRY
from reporting import said
from tiny_language_models import ALL_ATTENTION, TRANSFORMER, Task, build, checkpoint_of, options
from tiny_models import build as build_translation

from dsp_fairseq.bench.recipes import recipes_of
from dsp_fairseq.bench.settings import Settings
from dsp_fairseq.bench.variants import Subject, masked_state, removed_state
from dsp_fairseq.checkpoints.another_choice import warnings_of
from dsp_fairseq.checkpoints.average import average
from dsp_fairseq.checkpoints.prune import prune
from dsp_fairseq.checkpoints.reading import kept_units_of, load
from dsp_fairseq.errors import BadInput
from dsp_fairseq.families import families
from dsp_fairseq.families.work import Decoding
from dsp_fairseq.history.scalar_curves import COLOURS
from dsp_fairseq.models.gated_transformer import GatedTransformerModel
from dsp_fairseq.options.problems import model_problems
from dsp_fairseq.sweep import plan
from dsp_fairseq.sweep.amounts import Amount
from dsp_fairseq.sweep.records import Record
from dsp_fairseq.sweep.results import Results, Row, as_csv
from dsp_fairseq.sweep.table import as_table

GIVEN = {
    **{"pruning_method": "uniform", "decoder_layers": 3, "layers_to_keep": "decoder=2"},
    **{"heads_to_keep": "4", "ffn_to_keep": "32", "ffn_group": 8},
}


def checkpoint(path, seed=0, **changes):
    """A language model of 3 layers with 9 heads and 96 hidden units, which keeps 2 layers with 4 heads and 32 units."""
    args = options(TRANSFORMER, **{**GIVEN, **changes})
    model = build(TRANSFORMER, **{**GIVEN, **changes})
    generator = torch.Generator().manual_seed(seed)
    model.gates.set_logits(torch.randn(model.gates.inventory.units, generator=generator, dtype=torch.float64))
    torch.save(checkpoint_of(model, args), path)
    return str(path)


def test_the_mean_of_checkpoints(tmp_path):
    paths = [checkpoint(tmp_path / f"{seed}.pt", seed) for seed in (1, 1)]
    first, second = str(average(paths, str(tmp_path / "mean.pt"))).splitlines()
    words = "4 of 9 heads, 32 of 96 hidden units and 2 of 3 layers"
    assert first == f"mean of 2 checkpoints, decodes with {words}"
    assert second == f"{words} are kept by every one of the checkpoints"


def test_a_choice_that_the_training_was_not_for(tmp_path):
    kept = kept_units_of(load(checkpoint(tmp_path / "trained.pt")))
    [line, *_] = warnings_of(kept, kept.best(layers_to_keep="decoder=3", heads_to_keep="4", ffn_to_keep="32"), True)
    assert line.startswith(
        "4 of 9 heads, 32 of 96 hidden units and 3 of 3 layers, but the training was for 4 of 9 heads"
    )
    assert line.endswith("the weights of what is open only now were not trained to the end")


def test_layers_that_are_gone(capsys, tmp_path):
    small = str(tmp_path / "small.pt")
    prune(checkpoint(tmp_path / "trained.pt"), small)
    assert "2 of 3 layers kept; 1 removed from the file" in said(capsys, small)
    [recipe], _ = recipes_of([small], [load(small)], Settings(Decoding(), variants=("removed",)), str(tmp_path))
    assert (recipe.heads, recipe.original_heads) == (4, 6)
    assert recipe.others == {"hidden units": (32, 64), "layers": (2, 3)}
    state = load(small)
    state["cfg"]["model"].layers_before = {"decoder_layers": "many"}  # what a damaged file says is not believed
    torch.save(state, tmp_path / "damaged.pt")  # not over the file, which is mapped into memory
    assert "layers kept" not in said(capsys, str(tmp_path / "damaged.pt"))


def test_parameters_in_pruned_units(capsys, tmp_path):
    counts = json.loads(said(capsys, checkpoint(tmp_path / "trained.pt"), "--json"))["parameters"]
    assert counts["in pruned units"] == counts["in pruned heads"] > 0


def test_a_picture_of_scored_weights_has_no_scale_of_logits(tmp_path):
    pytest.importorskip("matplotlib")
    from dsp_fairseq.report import heat_map
    from dsp_fairseq.report.report import report_of

    movement = {"pruning_method": "movement", "block_rows": 4, "block_cols": 8, "weights_to_keep": "40%"}
    model = build_translation(GatedTransformerModel, "post-norm", **movement)
    with torch.no_grad():
        model.gates.scores.copy_(torch.randn(model.gates.scores.shape, generator=torch.Generator().manual_seed(1)))
    model.gates.finish_pruning()
    args = Namespace(**{**vars(options_of(model)), **movement})
    torch.save(checkpoint_of(model, args), tmp_path / "masked.pt")
    drawn = heat_map.draw(report_of(str(tmp_path / "masked.pt")))
    labels = [panel.get_xlabel() for panel in drawn.axes]
    subject = Subject.of(load(str(tmp_path / "masked.pt")))
    for state in (masked_state(subject), removed_state(subject)):  # a benchmark warns of nothing: the mask ranks itself
        mask = torch.cat([state["model"][f"gates.kept.{structure}"] for structure in ("heads", "ffn")])
        assert torch.equal(state["model"]["gates.logits"], mask) and 0 < mask.sum() < len(mask)
    assert labels == ["head (original index)"] * 3 + ["hidden unit (original index)"] * 2


def options_of(model):
    from tiny_models import SHAPE

    return Namespace(**{**SHAPE, "arch": "gated_transformer", "_name": "gated_transformer", "seed": 1})


def test_every_kind_has_a_colour_of_its_own():
    """Of the families of the package; a colour is taken by the place among all kinds."""
    models = ("gated_transformer", TRANSFORMER, ALL_ATTENTION)
    found = [family for family in families() if family.model in models]
    kinds = {kind for family in found for kind in (*family.kinds, *family.ffn_kinds, *family.layer_kinds)}
    assert len(kinds) <= len(set(COLOURS)) == len(COLOURS)


def row(method, amount, layers, parameters):
    cell = plan.Cell(f"x/{method}-seed1", method, amount, 1, {}, (), ())
    record = Record(1.0, 1.0, 1, {"decoder.self.0": [0]}, {"decoder.self.0": 8}, 64, parameters, layers=layers)
    return Row(cell, record, 9.0, 2.0)


def test_the_table_of_a_sweep(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    amounts = [
        *(None, Amount("layers_to_keep", "decoder=2"), Amount("ffn_to_keep", "64")),
        *(Amount("weights_to_keep", "50%"), Amount("parameters_to_keep", "900")),
    ]
    rows = [row("none" if a is None else "dsp", a, 2 if a else None, 1000 - n) for n, a in enumerate(amounts)]
    results = Results(rows, "BLEU")
    header, _, *lines = [[c.strip() for c in line.strip("|").split("|")] for line in as_table(results).splitlines()]
    assert header[:5] == ["method", "heads kept", "hidden units", "layers", "parameters"]
    assert [line[:4] for line in lines] == [
        ["unpruned", "1 of 8", "64", "-"],
        ["dsp", "1 of 8 (decoder=2)", "64", "2"],
        ["dsp", "1 of 8 (64 hidden units)", "64", "2"],
        ["dsp", "1 of 8 (50% of weights)", "64", "2"],
        ["dsp", "1 of 8 (900 parameters)", "64", "2"],
    ]
    assert [line["layers"] for line in csv.DictReader(io.StringIO(as_csv(results)))] == ["", "2", "2", "2", "2"]


def test_budgets_that_a_family_cannot_have_are_refused_with_the_reason():
    model = build(ALL_ATTENTION)
    kept = kept_units_of(checkpoint_of(model, options(ALL_ATTENTION)))
    for given in ({"layers_to_keep": "decoder=1"}, {"ffn_to_keep": "8"}):
        with pytest.raises(BadInput, match="only the heads of an all_attention_lm have gates; leave it out"):
            kept.best(**given)


def test_all_layers_are_asked_for_by_their_number(tmp_path):
    state = load(checkpoint(tmp_path / "trained.pt"))
    args = state["cfg"]["model"]
    args.overridden = {"layers_to_keep": args.layers_to_keep}
    args.layers_to_keep = None
    with pytest.raises(BadInput, match="the training had decoder=2; to decode with all layers, name their numbers"):
        ARCH_MODEL_REGISTRY[TRANSFORMER].build_model(args, Task())  # as --model-overrides has it


def test_no_arithmetic_of_scores_where_movement_is_refused_anyway():
    args = options(ALL_ATTENTION)
    found = model_problems(Namespace(**{**vars(args), "pruning_method": "movement", "max_update": 20}))
    assert len(found) == 1 and "does not know the matrices" in found[0]
    args = options(TRANSFORMER)
    [alone] = model_problems(
        Namespace(**{**vars(args), "pruning_method": "movement", "block_cols": 8, "block_rows": 8, "max_update": 20})
    )
    assert "no score can fall" in alone
