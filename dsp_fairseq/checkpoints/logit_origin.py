"""Tells what the logits in a checkpoint are: learned values, start values that no training changed, or ranks."""

from typing import NamedTuple

import torch
from torch import Tensor

from ..gates.methods import UNIFORM_PRIOR, uniform_logits
from ..structures.inventory import Inventory
from .reading import KeptUnits


class Origin(NamedTuple):
    """One of the things that the logits of a checkpoint can be."""

    name: str  # its name in JSON
    words: str  # its description in tables and pictures: "<words> by original head"
    ranks_units: bool  # whether a larger logit means that the unit was found to be more important


LEARNED = Origin("learned", "learned logits", True)
LOG_ODDS = Origin("log-odds", "learned log-odds (of an open gate, l0)", True)
RANKS = Origin("ranks", "ranks from dsp-fairseq importance (0: least important)", True)
PRIOR = Origin("prior", "uniform prior (nothing is learned)", False)
ALIKE = Origin("alike", "one number for all (nothing is learned)", False)


def origin_of(kept: KeptUnits) -> Origin:
    """Tell what ``kept.logits`` are, from the options of the training and from the logits themselves.

    ``prune`` and ``importance`` remove the method from the options, so the logits have to tell: ranks are distinct
    whole numbers from 0, and start values equal the uniform prior. All other logits were learned.
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
    """The two uniform priors, [H] each, that the remaining units can have.

    The first is the prior of the original model, restricted to the units that remain; the second is the prior of a
    training that began after the other units were removed.
    """
    original = inventory.only({block.name: range(block.original_units) for block in inventory.blocks})
    there = [unit in block.indices for block in inventory.blocks for unit in range(block.original_units)]
    return [uniform_logits(original, step)[torch.tensor(there, dtype=torch.bool)], uniform_logits(inventory, step)]


def _are_ranks(logits: Tensor) -> bool:
    whole = bool((logits >= 0).all()) and torch.equal(logits, logits.round())
    return whole and len(logits.unique()) == len(logits)
