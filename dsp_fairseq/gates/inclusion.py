"""How likely each head is in the subset, and how undecided the choice is: numbers for the logs, without gradient.

Pure functions of flat vectors of length H, float64. In numpy, whose calls on so few numbers are cheaper than torch's.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from .limits import Limits
from .pool import Pool
from .priced_pool import PricedPool
from .priced_units import PricedUnits

Floats = npt.NDArray[np.float64]

_EXACT = 1e-9  # heads: so near to k the probabilities sum
_MOST_STEPS = 100  # of the search for the cut; a handful is usual
_OVERFLOW = 50.0  # exp(-exp(50)) is 0 in float64


def inclusion(logits: Floats, k: int, noise: float, pool: Pool) -> Floats:
    """Probability [H] that each head is among the k largest under Gumbel noise, within the limits.

    p_h = P(logit_h + noise * Gumbel > cut) = 1 - exp(-exp((logit_h - cut) / noise)), with the one cut at which
    they sum to k. That the cut is taken as fixed is the usual approximation for drawing k without replacement
    (Rosen, Annals of Mathematical Statistics 43, 1972). A block whose heads would sum to less than its floor or
    to more than its cap has a cut of its own, at which they sum to that. Exact are the sum k, the order of the
    logits in a block, and the limit: without noise the heads of ``limits.mask`` have 1, the others 0.

    Args:
        logits: [H].
        k: heads in the subset, 0..H.
        noise: scale of the Gumbel noise, > 0, in units of the logits.
    """
    scores = logits / noise
    if isinstance(pool, PricedPool):
        return _chances_at_costs(scores, k, pool.units)
    assert isinstance(pool, Limits)
    if not pool.binding:
        return _chances(scores, k)
    blocks = np.split(scores, np.cumsum(pool.sizes)[:-1])
    counts = _counts(scores, k, pool)
    return np.concatenate([_chances(block, count) for block, count in zip(blocks, counts, strict=True)])


def entropy(chances: Floats) -> float:
    """Bits: the sum over the heads of -p log2 p - (1 - p) log2 (1 - p).

    0 when every head is in or out for certain, 1 for each head that is as likely in as out. It is the entropy
    of the subset where heads are drawn independently, and not below it where exactly k of them are.
    """
    p = chances[(chances > 0.0) & (chances < 1.0)]
    return -float((p * np.log(p) + (1.0 - p) * np.log1p(-p)).sum()) / math.log(2.0) + 0.0


def _rates(scores: Floats, cut: float) -> Floats:
    return np.exp(np.minimum(scores - cut, _OVERFLOW))


def _chances(scores: Floats, k: float) -> Floats:
    """1 - exp(-exp(score - cut)), which sum to k."""
    if not 0 < k < len(scores):
        return np.full(len(scores), float(k > 0))
    return -np.expm1(-_rates(scores, _cut(scores, k)))


def _chances_at_costs(scores: Floats, budget: int, units: PricedUnits) -> Floats:
    """Chances whose costs sum to a budget; limits of blocks are left out, but for blocks that keep all their units."""
    costs = units.unit_costs.astype(np.float64)
    certain = np.array([least == size for least, size in zip(units.least, units.sizes, strict=True)]).repeat(
        units.sizes
    )
    free, left = ~certain, budget - float(costs[certain].sum())
    chances = np.ones(len(scores))
    if left <= 0 or left >= costs[free].sum():
        chances[free] = float(left > 0)
        return chances

    def excess(cut: float) -> tuple[float, float]:
        rates = _rates(scores[free], cut)
        return float((costs[free] * -np.expm1(-rates)).sum()) - left, float(
            (costs[free] * rates * np.exp(-rates)).sum()
        )

    low, high = float(scores[free].min()) - _OVERFLOW, float(scores[free].max()) + _OVERFLOW
    cut = _root(excess, low, high, float(np.median(scores[free])), exact=_EXACT * left)
    chances[free] = -np.expm1(-_rates(scores[free], cut))
    return chances


def _cut(scores: Floats, k: float) -> float:
    """Where the chances sum to k, 0 < k < H."""

    def excess(cut: float) -> tuple[float, float]:
        rates = _rates(scores, cut)
        out = np.exp(-rates)
        return len(scores) - k - out.sum(), (rates * out).sum()

    ordered = np.sort(scores)[::-1]
    # with the cut there, the lowest (the highest) score has the probability k / H
    shift = math.log(-math.log1p(-k / len(scores)))
    low, high = ordered[-1] - shift, ordered[0] - shift
    last = min(max(round(k), 1), len(scores) - 1)
    return _root(excess, low, high, 0.5 * (ordered[last - 1] + ordered[last]))


def _counts(scores: Floats, k: int, limits: Limits) -> Floats:
    """Heads of each block, which sum to k: those beyond one cut, or where that is not allowed the floor or the cap."""
    least, most = (np.array(bound, dtype=float) for bound in limits.bounds(k))
    blocks = np.arange(len(least)).repeat(limits.sizes)

    def beyond(cut: float) -> tuple[Floats, Floats]:
        rates = _rates(scores, cut)
        counts: Any = np.bincount(blocks, -np.expm1(-rates), len(least))  # with weights, no whole numbers
        return counts, rates * np.exp(-rates)

    def excess(cut: float) -> tuple[float, float]:
        counts, slopes = beyond(cut)
        free = (least < counts) & (counts < most)
        return np.clip(counts, least, most).sum() - k, slopes[free[blocks]].sum()

    low, high = scores.min() - _OVERFLOW, scores.max() + _OVERFLOW
    counts: Floats = np.clip(beyond(_root(excess, low, high, float(np.median(scores))))[0], least, most)
    return counts


def _root(
    excess: Callable[[float], tuple[float, float]], low: float, high: float, start: float, exact: float = _EXACT
) -> float:
    """Where a falling function is 0; ``excess`` gives its value and minus slope. Newton, kept between two bounds."""
    cut = min(max(start, low), high)
    for _ in range(_MOST_STEPS):
        value, slope = excess(cut)
        if abs(value) < exact:
            break
        low, high = (cut, high) if value > 0 else (low, cut)
        cut = cut + value / slope if slope > 0 else high
        if not low < cut < high:
            cut = 0.5 * (low + high)
    return float(cut)
