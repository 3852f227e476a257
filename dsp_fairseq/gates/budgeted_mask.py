"""The hard choice of units of unequal cost: at most the budget, and nothing more fits."""

import numpy as np
import torch
from torch import Tensor

from .priced_units import PricedUnits


def budgeted_mask(scores: Tensor, units: PricedUnits, budget: int) -> Tensor:
    """The units to keep, bool [N], for a budget in the unit of the costs.

    Every block first keeps its best units, as many as its floor. The other units come in the order of their scores,
    of equal scores the first one first; each is kept if its block has room and its cost still fits, else left out.
    Thus within a block the best units are kept; the slack, ``budget - units.cost(mask)``, is less than the cost of any
    unit that is left out and whose block has room; and with equal costs the mask is that of
    :meth:`~dsp_fairseq.gates.limits.Limits.mask` with K = budget // cost.

    Why by order, and not by the largest sum of scores: logits are known up to a constant, and which set of units has
    the largest sum depends on that constant as soon as sets of different cost compete. The order does not. Of all
    masks that fit this is the one that is first in the order of the scores: it has the better unit wherever it first
    differs from another one. It is also where the relaxation goes (see ``cut.py``): for a temperature towards 0 the
    relaxed gates are the same mask up to the first unit that does not fit, which gets the fraction that does; so
    training under this mask continues what was sampled. For positive scores per cost (importance divided by cost)
    the kept cost times score is less than the best possible by at most the score of that unit times the slack before
    it, which is under its cost: a share of at most one unit of the budget (Dantzig, Operations Research 5, 1957).

    Args:
        scores: [N], any float type.
        budget: at least the cost of all floors; more than all units cost keeps all that may be kept.

    Raises:
        ValueError: the budget is less than the blocks keep in any case.

    >>> units = PricedUnits(sizes=(2, 3), costs=(5, 2))
    >>> budgeted_mask(torch.tensor([4.0, 3.0, 2.0, 1.0, 0.0]), units, 9).tolist()
    [True, False, True, True, False]
    """
    left = budget - units.cost_of_floors
    if left < 0:
        raise ValueError(f"budget must be at least {units.cost_of_floors}, which the limits ask for, got {budget}")
    order, place = units.ranked(scores.detach().double().cpu().numpy())
    kept = units.within_floors(place)
    rest = order[units.contested(place)[order]]
    while len(rest):  # once for each cost that there is: what costs no less than a unit that did not fit never will
        costs = units.unit_costs[rest]
        spent = np.cumsum(costs)
        fitting = int(np.searchsorted(spent, left, side="right"))
        kept[rest[:fitting]] = True
        if fitting == len(rest):
            break
        left -= int(spent[fitting] - costs[fitting])
        rest = rest[fitting:][costs[fitting:] < costs[fitting]]
    return torch.from_numpy(kept).to(scores.device)
