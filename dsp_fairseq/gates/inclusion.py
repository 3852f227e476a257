"""How likely each unit is in the subset, and how undecided the choice is: numbers for the logs, without gradient.

These are pure functions of flat float64 vectors [H]. They use numpy, which is faster than torch on so few numbers.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .pool import Floats, Pool

_TOLERANCE = 1e-9  # units: largest difference between k and the sum of the probabilities
_MOST_STEPS = 100  # largest number of Newton steps; a handful is usual
_OVERFLOW = 50.0  # exp(-exp(50)) is 0 in float64


def inclusion(logits: Floats, k: int, noise: float, pool: Pool) -> Floats:
    """Probability [H] that each unit is among the k largest logits under Gumbel noise, within the limits.

    p_h = P(logit_h + noise * Gumbel > cut) = 1 - exp(-exp((logit_h - cut) / noise)), where the cut is such that the
    probabilities sum to k. To treat the cut as fixed is the usual approximation for drawing k units without
    replacement (Rosen, Annals of Mathematical Statistics 43, 1972). A block whose probabilities would sum to less
    than its floor or to more than its cap gets its own cut, at which they sum to the floor or the cap. Three things
    are exact: the sum k, the order of the logits within a block, and the limit of vanishing noise, where the units of
    ``pool.mask`` have probability 1 and the others 0.

    Args:
        logits: importance logits [H].
        k: number of units in the subset, 0..H.
        noise: scale of the Gumbel noise, above 0, in units of the logits.
        pool: the units with their limits; where they differ in cost, k is an amount.
    """
    return pool.chances(logits / noise, k)


def entropy(chances: Floats) -> float:
    """Entropy in bits of probabilities [H]: the sum over units of -p log2 p - (1 - p) log2 (1 - p).

    A unit that is certainly in or out adds 0, a unit with probability 1/2 adds 1. For independent draws the sum is
    the entropy of the subset; for draws of exactly k units it is an upper bound.
    """
    p = chances[(chances > 0.0) & (chances < 1.0)]
    return -float((p * np.log(p) + (1.0 - p) * np.log1p(-p)).sum()) / math.log(2.0) + 0.0


def _rates(scores: Floats, cut: float) -> Floats:
    return np.exp(np.minimum(scores - cut, _OVERFLOW))


def chances(scores: Floats, k: float) -> Floats:
    """The probabilities 1 - exp(-exp(score - cut)) of scores [n], with the cut at which they sum to k."""
    if not 0 < k < len(scores):
        return np.full(len(scores), float(k > 0))
    return -np.expm1(-_rates(scores, _cut(scores, k)))


def chances_within(scores: Floats, k: int, sizes: Sequence[int], least: Sequence[int], most: Sequence[int]) -> Floats:
    """As :func:`chances`, with blocks of ``sizes`` units that keep at least and at most so many."""
    blocks = np.split(scores, np.cumsum(sizes)[:-1])
    counts = _counts(scores, k, sizes, least, most)
    return np.concatenate([chances(block, count) for block, count in zip(blocks, counts, strict=True)])


def chances_at_costs(scores: Floats, budget: int, costs: Floats, certain: npt.NDArray[np.bool_]) -> Floats:
    """Probabilities [n] of scores [n] whose costs [n] sum to a budget; ``certain`` units, bool [n], are kept anyhow.

    Limits of blocks are left out, for these numbers are for the logs.
    """
    free, left = ~certain, budget - float(costs[certain].sum())
    found = np.ones(len(scores))
    own, prices = scores[free], costs[free].astype(np.float64)
    if left <= 0 or left >= prices.sum():
        found[free] = float(left > 0)
        return found

    def excess(cut: float) -> tuple[float, float]:
        rates = _rates(own, cut)
        return float((prices * -np.expm1(-rates)).sum()) - left, float((prices * rates * np.exp(-rates)).sum())

    low, high = float(own.min()) - _OVERFLOW, float(own.max()) + _OVERFLOW
    cut = _root(excess, low, high, float(np.median(own)), exact=_TOLERANCE * left)
    found[free] = -np.expm1(-_rates(own, cut))
    return found


def _cut(scores: Floats, k: float) -> float:
    """The cut at which the probabilities of scores [n] sum to k, 0 < k < n."""

    def excess(cut: float) -> tuple[float, float]:
        rates = _rates(scores, cut)
        out = np.exp(-rates)
        return len(scores) - k - out.sum(), (rates * out).sum()

    ordered = np.sort(scores)[::-1]
    # with the cut at `low` (at `high`) the lowest (the highest) score has the probability k / n
    shift = math.log(-math.log1p(-k / len(scores)))
    low, high = ordered[-1] - shift, ordered[0] - shift
    last = min(max(round(k), 1), len(scores) - 1)
    return _root(excess, low, high, 0.5 * (ordered[last - 1] + ordered[last]))


def _counts(scores: Floats, k: int, sizes: Sequence[int], at_least: Sequence[int], at_most: Sequence[int]) -> Floats:
    """Expected number of units in the subset by block: [blocks], with sum k.

    All blocks have one cut, and a number outside the floor and cap of its block is moved to the floor or the cap.
    """
    least, most = (np.array(bound, dtype=float) for bound in (at_least, at_most))
    blocks = np.arange(len(least)).repeat(sizes)

    def beyond(cut: float) -> tuple[Floats, Floats]:
        rates = _rates(scores, cut)
        counts: Any = np.bincount(blocks, -np.expm1(-rates), len(least))  # Any, because weights make them floats
        return counts, rates * np.exp(-rates)

    def excess(cut: float) -> tuple[float, float]:
        counts, slopes = beyond(cut)
        free = (least < counts) & (counts < most)
        return np.clip(counts, least, most).sum() - k, slopes[free[blocks]].sum()

    low, high = scores.min() - _OVERFLOW, scores.max() + _OVERFLOW
    counts: Floats = np.clip(beyond(_root(excess, low, high, float(np.median(scores))))[0], least, most)
    return counts


def _root(
    excess: Callable[[float], tuple[float, float]], low: float, high: float, start: float, exact: float = _TOLERANCE
) -> float:
    """Root of a falling function by Newton's method within bounds; ``excess`` returns its value and minus its slope.

    The value at the root is within ``exact`` of 0.
    """
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
