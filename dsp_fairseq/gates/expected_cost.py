"""A budget for hard-concrete gates: a Lagrangian on the cost that they leave open on average.

CoFi (Xia, Zhong, Chen, ACL 2022, section 3.2; arXiv 2204.00408), with the cost of every unit. Pure functions of flat
vectors of N units, float64. The sparsity of a model is the share of the cost of all its units that is pruned.
"""

from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor

from .hard_concrete import open_probability

WARM_UP = 0.2  # of the updates, in which the target rises
ASCENT_RATE = 0.5  # of the multipliers, see ascended()


def expected_sparsity(
    log_odds: Tensor, costs: Tensor, certain: Tensor | None = None, inside: Tensor | None = None
) -> Tensor:
    """s = 1 - sum_i c_i P_i / sum_i c_i, a scalar with gradient; P_i is the probability that gate i is not 0.

    Args:
        log_odds: [N].
        costs: of the units, [N].
        certain: bool [N], units that are open in any case; they have no gradient.
        inside: [N], the probability that the layer is open in which a unit lies; None: every layer is.
    """
    probability = chances(log_odds.double(), certain, inside)
    costs = costs.to(probability)
    return 1.0 - (costs * probability).sum() / costs.sum()


def chances(log_odds: Tensor, certain: Tensor | None = None, inside: Tensor | None = None) -> Tensor:
    """Probability [N] that each unit is open; the arguments are those of :func:`expected_sparsity`."""
    probability = open_probability(log_odds)
    if certain is not None:
        probability = probability.masked_fill(certain, 1.0)
    return probability if inside is None else probability * inside


def chances_of_layers(log_odds: Tensor, holder: Tensor) -> Tensor:
    """Probability [N] that the layer of each unit is open; ``holder`` [N] is the unit that is its layer, -1: none."""
    return open_probability(log_odds)[holder.clamp(min=0)].where(holder >= 0, 1.0)


def target_sparsity(update: int, final: float, updates: int, warm_up: float = WARM_UP) -> float:
    """Linear from 0 at update 0 to ``final`` after the share ``warm_up`` of all ``updates``, then ``final``.

    >>> [target_sparsity(update, final=0.6, updates=100) for update in (0, 10, 20, 100)]
    [0.0, 0.3, 0.6, 0.6]
    """
    rising = warm_up * updates
    return final if update >= rising else final * update / rising


def sparsity_penalty(sparsity: Tensor, target: float, multipliers: Tensor) -> Tensor:
    """l1 (s - target) + l2 (s - target)^2, which is added to the loss; multipliers [2] are l1 and l2.

    A positive l1 pulls the sparsity down, a negative one up; l2 is never negative and pulls towards the target.
    """
    gap = sparsity - target
    return (multipliers.to(gap) * torch.stack([gap, gap.square()])).sum()


def ascended(multipliers: Tensor, sparsity: Tensor, target: float, rate: float) -> Tensor:
    """The multipliers [2] after one step up the gradient of the penalty, which is (s - target, (s - target)^2).

    They start at 0. While the model is denser than the target l1 falls, which raises the sparsity.
    With too slow an ascent (0.1 in a search of 1,000 updates) gates close or open for good before the multipliers
    balance the loss, and the sparsity stays up to a tenth from the target; 0.5 brings it within a few hundredths.
    """
    gap = sparsity.detach().to(multipliers) - target
    return multipliers + rate * torch.stack([gap, gap.square()])


def lagrangian(multipliers: Tensor, sparsities: Sequence[tuple[Tensor, float]]) -> Tensor:
    """The penalty summed over shares, for multipliers [shares, 2], and of each share the sparsity and its target.

    Every budget is a constraint of its own: one Lagrangian on the sum of costs would let one share stay above its
    budget as long as another one is below, and the projection at the end would then remove many units at once.
    """
    terms = [
        sparsity_penalty(sparsity, target, of_share)
        for of_share, (sparsity, target) in zip(multipliers, sparsities, strict=True)
    ]
    return reduce(torch.add, terms)


def all_ascended(multipliers: Tensor, sparsities: Sequence[tuple[Tensor, float]]) -> Tensor:
    """The multipliers [shares, 2] after the step of :func:`ascended` of each share."""
    steps = zip(multipliers, sparsities, strict=True)
    return torch.stack([ascended(of_share, sparsity, target, ASCENT_RATE) for of_share, (sparsity, target) in steps])
