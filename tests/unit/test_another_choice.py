"""Decoding with other heads than those of the training is told in a line, whatever asks for it; all else is not."""

import logging
import re

import pytest
import torch
from fairseq import checkpoint_utils
from tiny_checkpoints import checkpoint_of
from tiny_models import HEADS, Task, build

from dsp_fairseq.checkpoints.another_choice import is_of_a_training, warnings_of
from dsp_fairseq.checkpoints.prune import prune
from dsp_fairseq.checkpoints.reading import kept_units_of, load
from dsp_fairseq.importance.run import rank
from dsp_fairseq.importance.settings import Settings
from dsp_fairseq.models.gated_transformer import GatedTransformerModel

LEARNED = torch.linspace(-1, 1, HEADS)
TRAININGS = {
    "dsp": {"pruning_method": "dsp", "heads_to_keep": "12", "search_updates": 10},
    "dsp-published": {"pruning_method": "dsp-published", "heads_to_keep": "12"},
    "ste": {"pruning_method": "ste", "heads_to_keep": "12"},
    "range": {"pruning_method": "dsp", "heads_to_keep_range": "4:12", "search_updates": 10},
    "l0": {"pruning_method": "l0", "l0_penalty": 0.1},
    "uniform": {"pruning_method": "uniform", "heads_to_keep": "12"},
    "none": {"pruning_method": "none"},
}
UNTRAINED, UNRANKED = "not trained to the end", "says nothing of their importance"


def written(folder, name):
    """A checkpoint of a training that opens 12 heads, all of them with none; logits have moved if they can."""
    model = build(GatedTransformerModel, "post-norm", **TRAININGS[name])
    if model.gates.method.learns:
        model.gates.set_logits(LEARNED - float(LEARNED[-13]) - 1e-3)  # 12 are positive, for l0
    state = checkpoint_of(model, **TRAININGS[name])
    state["cfg"]["model"]._name = "gated_transformer"
    path = str(folder / f"{name}.pt")
    torch.save({**state, "args": None, "optimizer_history": [{"num_updates": 1, "lr_scheduler_state": {}}]}, path)
    return path


def expected(name, keep):
    """The kinds of warning for a K."""
    kinds = [UNTRAINED] * (keep > 12 and name != "none")
    differs = keep != (HEADS if name == "none" else 12)
    return kinds + [UNRANKED] * (name in ("uniform", "none") and differs and 0 < keep < HEADS)


def kinds_of(lines):
    return [kind for line in lines for kind in (UNTRAINED, UNRANKED) if kind in line]


@pytest.mark.parametrize("name", TRAININGS)
def test_each_method_and_k(tmp_path, name):
    state = load(written(tmp_path, name))
    kept = kept_units_of(state)
    for keep in (0, 6, 12, 20, HEADS):
        lines = warnings_of(kept, kept.best(str(keep)), is_of_a_training(state["model"]))
        assert kinds_of(lines) == expected(name, keep) and len(lines) == len(kinds_of(lines))
        if keep > 12 and name != "none":
            assert re.match(f"{keep} heads, but the training was for 12: the weights of {keep - 12} ", lines[0])


def decoded(path, overrides, caplog):
    """Warnings of a model that is loaded as fairseq-generate and the hub interface do."""
    caplog.clear()
    state = checkpoint_utils.load_checkpoint_to_cpu(path, overrides)
    model = GatedTransformerModel.build_model(state["cfg"].model, Task())
    model.load_state_dict(state["model"], model_cfg=state["cfg"].model)
    with caplog.at_level(logging.INFO):
        model.make_generation_fast_()
    [line] = [r.getMessage() for r in caplog.records if r.getMessage().startswith("decoding with")]
    return line, [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]


@pytest.mark.parametrize("name", ["dsp", "range", "uniform", "none"])
def test_decoding_with_model_overrides(tmp_path, caplog, name):
    path = written(tmp_path, name)
    assert decoded(path, {}, caplog)[1] == []
    for keep in (6, 20):
        line, told = decoded(path, {"heads_to_keep": keep, "dropout": 0.5}, caplog)
        assert line.startswith(f"decoding with {keep} of {HEADS}") and kinds_of(told) == expected(name, keep)


@pytest.mark.parametrize("name", ["dsp", "none"])
def test_prune_and_what_it_leaves(tmp_path, caplog, name):
    path, small = written(tmp_path, name), str(tmp_path / "small.pt")
    done = prune(path, small, heads_to_keep="20")
    assert kinds_of(done.warnings) == expected(name, 20)
    assert all(f"warning: {line}" in str(done) for line in done.warnings)
    assert prune(path, str(tmp_path / "same.pt")).warnings == []
    assert decoded(small, {}, caplog)[1] == []
    again = kinds_of(decoded(small, {"heads_to_keep": 5}, caplog)[1])
    assert again == ([UNRANKED] if name == "none" else [])


def test_importance_closes_heads_that_were_trained(tmp_path, caplog):
    ranked = str(tmp_path / "ranked.pt")
    rank(written(tmp_path, "none"), ranked, Settings("8", "magnitude"))
    assert decoded(ranked, {}, caplog)[1] == [] and decoded(ranked, {"heads_to_keep": 25}, caplog)[1] == []


def test_a_file_cannot_say_what_was_overridden(tmp_path, caplog):
    state, path = load(written(tmp_path, "dsp")), str(tmp_path / "says.pt")
    state["cfg"]["model"].overridden = {"heads_to_keep_range": 7}
    torch.save(state, path)
    assert decoded(path, {}, caplog)[1] == []
    assert prune(path, str(tmp_path / "small.pt")).warnings == []
