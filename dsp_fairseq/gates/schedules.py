"""How the temperature, the noise and the open amount change over the updates of a training."""

import math


def anneal_temperature(update: int, initial: float, final: float, cooldown: int) -> float:
    """Temperature at an update: log-linear from ``initial`` at 0 to ``final`` at ``cooldown``, then constant.

    DSP (TACL 2021), section 4: log t(n) = log t0 - min(n/C, 1) (log t0 - log tf).
    Raises ValueError unless 0 < final <= initial and cooldown >= 0.

    >>> [round(anneal_temperature(update, 1.0, 0.01, 1000), 3) for update in (0, 500, 1000, 2000)]
    [1.0, 0.1, 0.01, 0.01]
    """
    if not 0 < final <= initial:
        raise ValueError(f"needs 0 < final <= initial, got final {final}, initial {initial}")
    if cooldown < 0:
        raise ValueError(f"cooldown must be 0 or more updates, got {cooldown}")
    if update >= cooldown:
        return final
    return math.exp(math.log(initial) - update / cooldown * (math.log(initial) - math.log(final)))


def budget_of_update(update: int, total: int, keep: int, start: int, end: int) -> int:
    """The amount, of units or parameters, that is open at an update.

    It is ``total`` until ``start``, falls with a cubic to ``keep`` at ``end``, and stays there. The cubic of gradual
    magnitude pruning (Zhu & Gupta 2017, eq. 1).

    >>> [budget_of_update(update, total=36, keep=12, start=100, end=300) for update in (0, 150, 200, 250, 300)]
    [36, 22, 15, 12, 12]
    """
    if update >= end:
        return keep
    if update < start:
        return total
    left = 1.0 - (update - start) / (end - start)
    return keep + round((total - keep) * left**3)


def noise_scale(update: int, start: int, end: int) -> float:
    """Scale of the Gumbel noise at an update: 1 until ``start``, then a linear fall to 0, reached at ``end``.

    >>> [noise_scale(update, start=100, end=300) for update in (0, 150, 300)]
    [1.0, 0.75, 0.0]
    """
    if update >= end:
        return 0.0
    if update < start:
        return 1.0
    return (end - update) / (end - start)


def end_of_search(update: int, left: int, share: float) -> int:
    """The update at which a search ends that takes a share of a training with ``left`` more updates from ``update`` on.

    If that update is over, as when the search was planned for a longer training, it is the share of what is left.

    >>> end_of_search(0, 1000, 0.3), end_of_search(500, 500, 0.3)
    (300, 650)
    """
    search = max(1, round(share * (update + left)))
    return search if search > update else update + max(1, round(share * left))
