"""What the numbers are that a checkpoint stores for its heads: learned, a start that nothing has moved, or ranks."""

from typing import NamedTuple

import torch
from torch import Tensor

from ..gates.methods import UNIFORM_PRIOR, uniform_logits
from ..structures.inventory import Inventory
from .reading import KeptHeads


class Origin(NamedTuple):
    """One kind of number."""

    name: str  # in JSON
    words: str  # in tables and pictures: "<words> by original head"
    ranks_heads: bool  # whether the larger of two numbers was found to be the more important head


LEARNED = Origin("learned", "learned logits", True)
LOG_ODDS = Origin("log-odds", "learned log-odds (of an open gate, l0)", True)
RANKS = Origin("ranks", "ranks from dsp-fairseq importance (0: least important)", True)
PRIOR = Origin("prior", "uniform prior (nothing is learned)", False)
ALIKE = Origin("alike", "one number for all (nothing is learned)", False)


def origin_of(kept: KeptHeads) -> Origin:
    """What ``kept.logits`` are, by the options of the training and by the numbers themselves.

    ``prune`` and ``importance`` leave no trace of the method in the options, but their numbers tell: ranks are
    different whole numbers from 0 up, a prior that nothing has moved is the prior. The rest was learned once.
    """
    plan, logits = kept.plan, kept.logits.double()
    if len(logits.unique()) < 2:
        return ALIKE
    if plan.method.independent:
        return LOG_ODDS
    prior = plan.options["uniform_prior"]
    step = UNIFORM_PRIOR if prior is None else prior
    if any(torch.allclose(logits, prior, rtol=0, atol=1e-9) for prior in _priors(kept.inventory, step)):
        return PRIOR
    return RANKS if _are_ranks(logits) else LEARNED


def _priors(inventory: Inventory, step: float) -> list[Tensor]:
    """Of the heads that are there [H]: as they were in the original model, and are in a training without the others."""
    original = inventory.only({block.name: range(block.original_units) for block in inventory.blocks})
    there = [head in block.indices for block in inventory.blocks for head in range(block.original_units)]
    return [uniform_logits(original, step)[torch.tensor(there, dtype=torch.bool)], uniform_logits(inventory, step)]


def _are_ranks(logits: Tensor) -> bool:
    whole = bool((logits >= 0).all()) and torch.equal(logits, logits.round())
    return whole and len(logits.unique()) == len(logits)
