"""When the weights are pruned: shares of the planned updates, the same cubic for the threshold and for the penalty."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """Nothing is pruned until ``start``, everything that will be from ``end`` on; both are shares of the updates."""

    start: float
    end: float

    def progress(self, update: int, length: int) -> float:
        """How far pruning has come at an update of a training of ``length`` updates, 0 to 1.

        1 - (1 - x)^3, with x from 0 at the start to 1 at the end (Zhu & Gupta 2017). A threshold is its last value
        times this, and so is the penalty. 0 while the length is not known (0).

        >>> schedule = Schedule(start=0.2, end=0.6)
        >>> [round(schedule.progress(update, 100), 3) for update in (20, 30, 40, 60, 100)]
        [0.0, 0.578, 0.875, 1.0, 1.0]
        """
        start, end = self.updates(length)
        if not length or update <= start:
            return 0.0
        left = max(0.0, 1.0 - (update - start) / max(1, end - start))
        return 1.0 - left**3

    def updates(self, length: int) -> tuple[int, int]:
        """The updates at which pruning starts and ends."""
        return round(self.start * length), round(self.end * length)

    def problems(self, length: int) -> list[str]:
        """Why a training of ``length`` updates would never prune, one line at most."""
        start, end = self.updates(length)
        if start < end:
            return []
        return [
            f"--pruning-start {self.start:g} and --pruning-end {self.end:g}: in {length} updates nothing would ever be "
            "pruned; train longer (--max-update, --max-epoch), or put them further apart"
        ]
