"""Computes how many updates a training has."""

import math
from collections.abc import Callable
from typing import NamedTuple


class Length(NamedTuple):
    """The options that determine the number of updates, and the number of batches in each epoch.

    ``max_update`` and ``max_epoch`` are 0 or None when there is no such limit.

    >>> Length(max_update=None, max_epoch=3, update_freq=[1, 4], batches_of=lambda epoch: 10).left()
    16
    """

    max_update: int | None
    max_epoch: int | None
    update_freq: list[int]  # batches per update in epochs 1, 2, ...; the last value holds for all later epochs
    batches_of: Callable[[int], int]  # epoch, from 1 -> number of its batches
    drops_the_last: bool = False  # the value of --skip-remainder-batch

    def left(self, update: int = 0, epoch: int = 1, done: int = 0) -> int | None:
        """Number of updates that are left; None when the training has no limit.

        Args:
            update: number of updates that are done.
            epoch: the current epoch, from 1.
            done: number of batches of the current epoch that are done.
        """
        limits = []
        if self.max_update:
            limits.append(self.max_update - update)
        if self.max_epoch:
            epochs = range(epoch, self.max_epoch + 1)
            limits.append(sum(self._updates(e, self.batches_of(e) - (done if e == epoch else 0)) for e in epochs))
        return max(0, min(limits)) if limits else None

    def _updates(self, epoch: int, batches: int) -> int:
        together = self.update_freq[min(epoch, len(self.update_freq)) - 1]
        if self.drops_the_last:  # fairseq drops the last batch, and then a last update that has too few batches
            return max(0, batches - 1) // together
        return math.ceil(batches / together)
