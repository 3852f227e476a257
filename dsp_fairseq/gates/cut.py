"""A differentiable choice of thousands of units under a budget of cost: one cut through all scores.

The K softmaxes in a row of ``subset.py`` cost K times H and know no costs. Here every unit is compared with one number.
Pure functions of flat vectors of N units, float64, in numpy like ``relaxed.py``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .budgeted_mask import budgeted_mask
from .priced_units import Flat, PricedUnits, descending

_EXACT = 1e-12  # relative error of a budget
_MOST_STEPS = 200  # of a search for cuts; a handful is usual


def gumbel_soft_cut(logits: Tensor, noise: Tensor, units: PricedUnits, budget: int, temperature: float) -> Tensor:
    """Relaxed choice of units whose cost is exactly the budget.

    g_i = sigmoid((r_i - theta) / temperature), r = logits + noise, with theta such that sum_i c_i g_i = budget. These
    gates maximise sum_i c_i (r_i g_i + temperature * entropy(g_i)): r is importance per cost. When a block would sum
    to less than its floor or to more than its cap, that bound is its sum, by a theta of its own (the
    multiplier of that constraint). Gradients are those of theta too, by implicit differentiation.

    Each gradient is at most (largest - smallest gradient per cost) * cost / (4 temperature), that of one sigmoid:
    two units that are nearly tied are no exception, as they are with softmaxes in a row.

    Args:
        logits: importance logits [N], any float type.
        noise: [N], added to the logits.
        budget: cost of the open units; a budget above ``units.cost_of_caps`` counts as that.
        temperature: > 0; towards 0 the gates become :func:`budgeted_mask` of r, up to the first unit that does not fit,
            which is open by the fraction that does.

    Returns:
        gates [N], float64, in 0..1.

    Raises:
        ValueError: the budget is less than the blocks keep in any case, or temperature not positive.

    >>> units, no_noise = PricedUnits(sizes=(1, 2), costs=(4, 2)), torch.zeros(3)
    >>> [round(g, 3) for g in gumbel_soft_cut(torch.tensor([1.0, 2.0, 0.0]), no_noise, units, 4, 1e-3).tolist()]
    [0.5, 1.0, 0.0]
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    if budget < units.cost_of_floors:
        raise ValueError(f"budget must be at least {units.cost_of_floors}, which the limits ask for, got {budget}")
    gates: Tensor = SoftCut.apply(logits.double() + noise.double(), units, budget, float(temperature))  # type: ignore[no-untyped-call]
    return gates


def straight_through_gumbel_cut(
    logits: Tensor, noise: Tensor, units: PricedUnits, budget: int, temperature: float
) -> Tensor:
    """:func:`budgeted_mask` of logits + noise forward, gradient of the relaxed gates backward: {0, 1} gates [N]."""
    relaxed = gumbel_soft_cut(logits, noise, units, budget, temperature)
    hard = budgeted_mask(logits.detach().double() + noise.double(), units, budget)
    return hard.double() + (relaxed - relaxed.detach())


class SoftCut(torch.autograd.Function):
    """Scores [N] -> gates [N], see :func:`gumbel_soft_cut`.

    With s_i = g_i (1 - g_i) / t, units that share a cut have d theta = sum_i c_i s_i dr_i / sum_i c_i s_i, so that a
    gradient v of the gates is s_i (v_i - c_i sum_j s_j v_j / sum_j c_j s_j) of the scores.
    """

    @staticmethod
    def forward(ctx: Any, scores: Tensor, units: PricedUnits, budget: int, temperature: float) -> Tensor:
        r = scores.detach().cpu().numpy()
        group, targets = _groups(r, units, budget, temperature)
        costs = units.unit_costs.astype(np.float64)
        whole = np.bincount(group, costs, len(targets))
        decided = (targets <= 0) | (targets >= whole)
        gates = (targets > 0)[group].astype(np.float64)
        live = np.flatnonzero(~decided[group])
        number = np.cumsum(~decided) - 1  # of each group among those that are not decided
        ctx.live, ctx.size = live, len(r)
        if len(live):
            problem = _Cuts.of(r[live], costs[live], number[group[live]], targets[~decided], temperature)
            tails = problem.solve()
            gates[live] = np.where(problem.taken, 1.0 - tails, tails)
            ctx.problem, ctx.slopes = problem, tails * (1.0 - tails) / temperature
        return torch.from_numpy(gates).to(scores.device)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_gates: Tensor) -> tuple[Tensor, None, None, None]:
        grad_scores = np.zeros(ctx.size)
        if len(ctx.live):
            problem: _Cuts = ctx.problem
            grad = grad_gates.detach().double().cpu().numpy()[ctx.live] / problem.costs
            # a common constant changes nothing; where one unit outweighs all, the differences to it are what counts
            grad -= grad[problem.pivots][problem.group]
            weights = problem.costs * ctx.slopes
            sums = np.bincount(problem.group, weights * grad)
            whole = np.bincount(problem.group, weights)
            mean = np.divide(sums, whole, out=np.zeros_like(sums), where=whole > 0)
            grad_scores[ctx.live] = weights * (grad - mean[problem.group])
        return torch.from_numpy(grad_scores).to(grad_gates.device), None, None, None


@dataclass(frozen=True)
class _Cuts:
    """Units in groups [G], each with a cut of its own at which the costs of its gates sum to a target.

    Gates are written as tails: 1 - g for units that are ``taken``, the best of their group whose cost is within the
    target, and g for the others. With tails of both sorts and what is ``left`` of the target after the units taken, the
    condition is sum(c tail of others) = sum(c tail of taken) + left, where no small number is lost beside a large one.
    """

    costs: Flat  # [N]
    group: Flat  # int [N], 0..G-1
    distance: Flat  # [N]: from the anchor of the group, in units of the temperature
    taken: Flat  # bool [N]
    left: Flat  # [G], >= 0
    pivots: Flat  # int [G]: the first unit that is not taken
    low: Flat  # [G]: a cut that is too low, or right; relative to the anchor, like all cuts
    high: Flat  # [G]: a cut that is too high, or right

    @classmethod
    def of(cls, r: Flat, costs: Flat, group: Flat, targets: Flat, temperature: float) -> "_Cuts":
        """Targets [G], above 0 and below the cost of the whole group; no group is empty."""
        order = descending(r)
        if len(targets) > 1:
            order = order[np.argsort(group[order].astype(np.min_scalar_type(len(targets))), kind="stable")]
        ends = np.bincount(group).cumsum()
        begins = np.concatenate([[0], ends[:-1]])
        spent = np.concatenate([[0.0], np.cumsum(costs[order])])  # before each unit in that order
        limit = targets + spent[begins]
        # costs are positive, so what is spent rises through all groups
        firsts = np.searchsorted(spent, limit, side="right") - 1  # in that order, the first that is not taken
        left = limit - spent[firsts]
        pivots, lasts = order[firsts], order[np.maximum(firsts - 1, 0)]
        # towards temperature 0 the cut is half-way between two units, or at the pivot, which gets what is left
        between = left == 0
        anchor = np.where(between, 0.5 * (r[lasts] + r[pivots]), r[pivots])
        taken = np.empty(len(r), dtype=bool)
        taken[order] = np.arange(len(r)) < firsts[group[order]]
        distance = (r - anchor[group]) / temperature
        average = _logit(targets / (spent[ends] - spent[begins]))
        return cls(
            costs,
            group,
            distance,
            taken,
            left,
            pivots,
            distance[order[ends - 1]] - average,
            distance[order[begins]] - average,
        )

    def solve(self) -> Flat:
        """The tails [N]."""
        sides = 2 * self.group + self.taken
        signs = np.where(self.taken, -1.0, 1.0)

        def excess(cuts: Flat) -> tuple[Flat, Flat]:
            """log(sum(c tail of others) / (sum(c tail of taken) + left)) and minus its slope: nearly linear."""
            tails = _sigmoid(signs * (self.distance - cuts[self.group]))
            priced = self.costs * tails
            # [2 G] -> [G, 2]
            others, taken = np.bincount(sides, priced, 2 * len(cuts)).reshape(-1, 2).T
            slopes = np.bincount(sides, priced * (1.0 - tails), 2 * len(cuts)).reshape(-1, 2).T
            taken = taken + self.left
            met = others == taken  # both may be 0, at temperatures close to 0
            value = np.where(met, 0.0, np.log(others) - np.log(taken))
            return value, slopes[0] / others + slopes[1] / taken

        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            cuts = _roots(excess, np.zeros_like(self.low), self.low, self.high)
            return _sigmoid(signs * (self.distance - cuts[self.group]))


def _groups(r: Flat, units: PricedUnits, budget: int, temperature: float) -> tuple[Flat, Flat]:
    """Which units share a cut: group of each unit, int [N], and what the costs of each group sum to.

    Group 0 is of the blocks between their limits, group 1 + b of block b alone if it is at one of its limits.
    """
    least, most, costs = (np.array(each) for each in (units.floors, units.caps, units.costs))
    if budget <= units.cost_of_floors:
        counts, bound = least, np.ones(len(costs), dtype=bool)
    elif budget >= units.cost_of_caps:
        counts, bound = most, np.ones(len(costs), dtype=bool)
    elif not units.limited:
        counts, bound = least, np.zeros(len(costs), dtype=bool)
    else:
        counts, bound = _bound_blocks(r, units, budget, temperature)
    group = np.where(bound, 1 + np.arange(len(costs)), 0)
    own = np.where(bound, counts * costs, 0)
    return group[units.blocks], np.concatenate([[budget - own.sum()], own]).astype(np.float64)


def _bound_blocks(r: Flat, units: PricedUnits, budget: int, temperature: float) -> tuple[Flat, Flat]:
    """Units that each block keeps if it is at one of its limits, and whether it is: [blocks] each.

    The sum of the gates of a block, kept within its limits, falls with the cut; at one cut the costs of all blocks sum
    to the budget, and what is at a limit there is so in the solution. As in :class:`_Cuts` sums are written as changes
    from the hard choice.
    """
    sizes, costs = np.array(units.sizes), np.array(units.costs)
    place = units.ranked(r)[1]
    contested, taken = np.flatnonzero(units.contested(place)), units.within_floors(place)
    one_group, target = np.zeros(len(contested), dtype=np.int64), np.array([float(budget - units.cost_of_floors)])
    hard = _Cuts.of(r[contested], units.unit_costs[contested].astype(float), one_group, target, temperature)
    taken[contested[hard.taken]] = True
    pivot = contested[hard.pivots]
    distance = (r - r[pivot]) / temperature
    start = -hard.distance[hard.pivots]  # the anchor, relative to the pivot
    kept = np.bincount(units.blocks, taken, len(sizes))
    # a limit that all gates satisfy is none
    least = np.where(np.array(units.floors) > 0, units.floors, -np.inf) - kept
    most = np.where(np.array(units.caps) < sizes, units.caps, np.inf) - kept
    sides = 2 * units.blocks.astype(np.int64) + taken
    signs = np.where(taken, -1.0, 1.0)

    def changes(cut: Flat) -> tuple[Flat, Flat]:
        """Of the sums of the blocks, without limits, and minus their slopes: [blocks] each."""
        tails = _sigmoid(signs * (distance - cut))
        # [2 blocks] -> [blocks, 2]
        others, own = np.bincount(sides, tails, 2 * len(sizes)).reshape(-1, 2).T
        return others - own, np.bincount(units.blocks, tails * (1.0 - tails), len(sizes))

    def excess(cut: Flat) -> tuple[Flat, Flat]:
        change, slopes = changes(cut)
        priced = costs * np.clip(change, least, most)
        slopes = costs * slopes * ((least < change) & (change < most))
        up, down = priced > 0, priced < 0
        more, less = priced[up].sum(), hard.left - priced[down].sum()
        value = np.where(more == less, 0.0, np.log(more) - np.log(less))
        return value, slopes[up].sum() / more + slopes[down].sum() / less

    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        # at a distance of 800 every gate is 0 or 1
        cut = _roots(excess, start, distance.min(keepdims=True) - 800, distance.max(keepdims=True) + 800)
        change, _ = changes(cut)
    # what is beyond a limit by rounding only still has the rivals of the other blocks
    bound = (least == most) | (change < least - _EXACT) | (most + _EXACT < change)
    return np.where(bound, kept + np.clip(change, least, most), 0).astype(np.int64), bound


def _roots(excess: Callable[[Flat], tuple[Flat, Flat]], start: Flat, low: Flat, high: Flat) -> Flat:
    """Where falling functions [G] are 0; ``excess`` gives values and minus slopes. Newton, kept between bounds."""
    cuts = np.clip(start, low, high)
    for _ in range(_MOST_STEPS):
        values, slopes = excess(cuts)
        low, high = np.where(values > 0, cuts, low), np.where(values < 0, cuts, high)
        following = cuts + values / slopes
        following = np.where((low < following) & (following < high), following, 0.5 * (low + high))
        done = (np.abs(values) < _EXACT) | (following == cuts)
        if done.all():
            break
        cuts = np.where(done, cuts, following)
    return cuts


def _sigmoid(x: Flat) -> Flat:
    return 1.0 / (1.0 + np.exp(-x))


def _logit(share: Flat) -> Flat:
    return np.log(share) - np.log1p(-share)
