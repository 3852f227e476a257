"""How many updates a training has."""

import math
from collections.abc import Callable
from typing import NamedTuple


class Length(NamedTuple):
    """By ``--max-update``, ``--max-epoch`` (0 or None: no limit), ``--update-freq`` and the batches of each epoch.

    >>> Length(max_update=None, max_epoch=3, update_freq=[1, 4], batches_of=lambda epoch: 10).left()
    16
    """

    max_update: int | None
    max_epoch: int | None
    update_freq: list[int]  # of the first epoch, of the second ..., the last one of all others
    batches_of: Callable[[int], int]
    drops_the_last: bool = False  # --skip-remainder-batch

    def left(self, update: int = 0, epoch: int = 1, done: int = 0) -> int | None:
        """Updates from ``update`` on, which begins in ``epoch`` after ``done`` of its batches; None: no end."""
        limits = []
        if self.max_update:
            limits.append(self.max_update - update)
        if self.max_epoch:
            epochs = range(epoch, self.max_epoch + 1)
            limits.append(sum(self._updates(e, self.batches_of(e) - (done if e == epoch else 0)) for e in epochs))
        return max(0, min(limits)) if limits else None

    def _updates(self, epoch: int, batches: int) -> int:
        together = self.update_freq[min(epoch, len(self.update_freq)) - 1]
        if self.drops_the_last:  # fairseq leaves out the last batch, and then an update that is not full
            return max(0, batches - 1) // together
        return math.ceil(batches / together)
