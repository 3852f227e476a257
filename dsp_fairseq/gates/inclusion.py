"""How likely each head is in the subset, and how undecided the choice is: numbers for the logs, without gradient.

Pure functions of flat vectors of length H, float64. In numpy, whose calls on so few numbers are cheaper than torch's.
"""

import math

import numpy as np

_EXACT = 1e-9  # heads: so near to k the probabilities sum
_MOST_STEPS = 100  # of the search for the cut; a handful is usual
_OVERFLOW = 50.0  # exp(-exp(50)) is 0 in float64


def inclusion(logits: np.ndarray, k: int, noise: float, offsets: np.ndarray) -> np.ndarray:
    """Probability [H] that each head is among the k largest under Gumbel noise.

    p_h = P(logit_h + noise * Gumbel > cut) = 1 - exp(-exp((logit_h - cut) / noise)), with the one cut at which
    they sum to k. That the cut is taken as fixed is the usual approximation for drawing k without replacement
    (Rosen, Annals of Mathematical Statistics 43, 1972). Exact are the sum k, the order of the logits, and the
    limit: without noise the k largest have 1, the others 0.

    Args:
        logits: [H].
        k: heads in the subset, 0..H.
        noise: scale of the Gumbel noise, > 0, in units of the logits.
        offsets: [H] of ``Limits``: minus infinity for heads that are ruled out, above 0 for those that are certain.
    """
    certain = offsets > 0
    chances = certain.astype(np.float64)
    undecided = offsets == 0
    heads, left = int(undecided.sum()), k - int(certain.sum())
    if left >= heads:
        chances[undecided] = 1.0
    elif left > 0:
        scores = logits[undecided] / noise
        chances[undecided] = -np.expm1(-_rates(scores, _cut(scores, left)))
    return chances


def entropy(chances: np.ndarray) -> float:
    """Bits: the sum over the heads of -p log2 p - (1 - p) log2 (1 - p).

    0 when every head is in or out for certain, 1 for each head that is as likely in as out. It is the entropy
    of the subset where heads are drawn independently, and not below it where exactly k of them are.
    """
    p = chances[(chances > 0.0) & (chances < 1.0)]
    return -float((p * np.log(p) + (1.0 - p) * np.log1p(-p)).sum()) / math.log(2.0) + 0.0


def _rates(scores: np.ndarray, cut: float) -> np.ndarray:
    return np.exp(np.minimum(scores - cut, _OVERFLOW))


def _cut(scores: np.ndarray, k: int) -> float:
    """Where 1 - exp(-exp(score - cut)) sums to k, 0 < k < H: Newton's method, kept between two bounds."""
    ordered = np.sort(scores)[::-1]
    # with the cut there, the lowest (the highest) score has the probability k / H
    shift = math.log(-math.log1p(-k / len(scores)))
    low, high = ordered[-1] - shift, ordered[0] - shift
    cut = min(max(0.5 * (ordered[k - 1] + ordered[k]), low), high)
    for _ in range(_MOST_STEPS):
        rates = _rates(scores, cut)
        out = np.exp(-rates)
        excess = len(scores) - k - out.sum()
        if abs(excess) < _EXACT:
            break
        low, high = (cut, high) if excess > 0 else (low, cut)
        slope = (rates * out).sum()
        cut = cut + excess / slope if slope > 0 else high
        if not low < cut < high:
            cut = 0.5 * (low + high)
    return float(cut)
