"""The number of updates of a training."""

import math
from collections.abc import Callable
from typing import NamedTuple


class Length(NamedTuple):
    """The options and numbers of batches that decide how many updates a training has; 0 and None mean no limit.

    >>> Length(max_update=None, max_epoch=3, update_freq=[1, 4], batches_of=lambda epoch: 10).left()
    16
    """

    max_update: int | None
    max_epoch: int | None
    update_freq: list[int]  # batches per update, one entry per epoch; the last entry holds for all further epochs
    batches_of: Callable[[int], int]  # number of batches of an epoch; epochs count from 1
    drops_the_last: bool = False  # --skip-remainder-batch

    def left(self, update: int = 0, epoch: int = 1, done: int = 0) -> int | None:
        """Number of updates that are left; None when the training has no end.

        Args:
            update: updates made so far.
            epoch: the epoch that goes on or begins now.
            done: batches of that epoch that are done.
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
        if self.drops_the_last:  # fairseq drops the last batch, and after that an incomplete last update
            return max(0, batches - 1) // together
        return math.ceil(batches / together)
