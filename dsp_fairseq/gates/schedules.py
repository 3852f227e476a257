"""How temperature, noise and head budget change over the updates; pure functions of the update."""

import math


def anneal_temperature(update: int, initial: float, final: float, cooldown: int) -> float:
    """Log-linear from ``initial`` at update 0 to ``final`` at update ``cooldown``, constant after.

    DSP (TACL 2021), section 4: log t(n) = log t0 - min(n/C, 1) (log t0 - log tf).
    Raises ValueError unless 0 < final <= initial and cooldown >= 0.
    """
    if not 0 < final <= initial:
        raise ValueError(f"needs 0 < final <= initial, got final {final}, initial {initial}")
    if cooldown < 0:
        raise ValueError(f"cooldown must be 0 or more updates, got {cooldown}")
    if update >= cooldown:
        return final
    return math.exp(math.log(initial) - update / cooldown * (math.log(initial) - math.log(final)))


def head_budget(update: int, heads: int, keep: int, start: int, end: int) -> int:
    """Heads open at an update: all until ``start``, cubic fall to ``keep`` at ``end``, then ``keep``.

    The cubic of gradual magnitude pruning (Zhu & Gupta 2017, eq. 1).
    """
    if update >= end:
        return keep
    if update < start:
        return heads
    left = 1.0 - (update - start) / (end - start)
    return keep + round((heads - keep) * left**3)


def noise_scale(update: int, start: int, end: int) -> float:
    """Scale of the Gumbel noise: 1 until ``start``, linear to 0 at ``end``."""
    if update >= end:
        return 0.0
    return min(1.0, (end - update) / (end - start))
