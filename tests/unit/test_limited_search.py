"""A search finds the useful heads under every limit, and no head that could be chosen is left out of it."""

from argparse import Namespace

import pytest
import torch
from tiny_gates import HEADS, INVENTORY, LEARNED, train

from dsp_fairseq.options.plan import Plan

UPDATES = 200
OF_METHOD = {
    "dsp": {"search_updates": UPDATES, "uniform_prior": 0.0, "pruning_lr": 0.1},
    "l0": {"l0_penalty": 0.1},
}
# blocks begin at heads 0, 3 (encoder), 6, 10 (decoder.self), 14, 18 (decoder.cross)
LIMITED = {
    "one in each block": (6, {"min_heads_per_block": 1}, [2, 5, 9, 13, 17, 21]),
    "at least one": (9, {"min_heads_per_block": 1}, [2, 5, 9, 12, 13, 17, 19, 20, 21]),
    "at most one": (4, {"max_heads_per_block": 1}, [2, 9, 13, 21]),
    "one or two": (9, {"min_heads_per_block": 1, "max_heads_per_block": 2}, [2, 5, 8, 9, 13, 16, 17, 20, 21]),
    "a fixed kind": (11, {"prunable": "encoder.self,decoder.cross"}, [2, 5, *range(6, 14), 21]),
    "budgets of kinds": ("encoder.self=2,decoder.self=8,decoder.cross=1", {}, [2, 5, *range(6, 14), 21]),
}


def limited_gates(method, keep, limits, seed):
    options = {"pruning_method": method, "heads_to_keep": keep, "seed": seed, **OF_METHOD.get(method, {}), **limits}
    torch.manual_seed(seed)
    return Plan.of(Namespace(**options), INVENTORY).gates()


@pytest.mark.parametrize("name", LIMITED)
@pytest.mark.parametrize("method", LEARNED)
def test_useful_heads_win_under_every_limit(method, name):
    keep, limits, heads = LIMITED[name]
    useful = torch.zeros(HEADS, dtype=torch.bool)
    useful[heads] = True
    slope = torch.where(useful, -1.0, 1.0).double()
    missed = []
    for seed in (1, 2):
        gates = train(limited_gates(method, keep, limits, seed), slope, UPDATES - 1)
        missed.append(int((gates.mask() & ~useful).sum()))
    assert sum(missed) <= 1, missed  # a search is a matter of chance, but not of luck


@pytest.mark.parametrize("name", LIMITED)
def test_logits_pool_the_moment_of_heads_that_could_be_chosen(name):
    """The step of those is of the rate's size, however many heads are in or out in any case."""
    keep, limits, _ = LIMITED[name]
    gates = limited_gates("dsp", keep, limits, 1)
    before, moving = gates.logits.detach().clone(), gates.choice.choosable
    if "prunable" in limits or "=" in str(keep):
        assert moving.sum() == HEADS - 8
    slope = torch.randn(HEADS, dtype=torch.float64) * moving
    gates.logits.grad = slope.clone()
    gates.add_sample_size(1)
    gates.step()
    moved = gates.logits.detach() - before
    assert (moved[~moving] == 0).all()
    assert moved[moving].square().mean().sqrt().item() == pytest.approx(0.1, rel=1e-6)
