"""How few and how many heads a block may keep."""

from dataclasses import dataclass
from typing import List, Optional, Tuple

import torch
from torch import Tensor

from .subset import hard_top_k

_AHEAD = 1e6  # what a head is raised by that must be chosen; far above any logit or noise


@dataclass(frozen=True)
class Limits:
    """At least ``floor`` and at most ``cap`` heads in every block; a block smaller than that keeps all.

    Blocks that are ``fixed`` keep all their heads. All this is said to the choice of k heads as numbers
    added to their scores: minus infinity rules a head out (those of a block beyond its first ``cap``), a
    large number makes sure of it (the first ``floor`` of a block). The k largest are then the k heads of
    largest sum that the limits allow.

    >>> limits, scores = Limits(sizes=(2, 2), cap=1), torch.tensor([5.0, 4.0, 1.0, 2.0])
    >>> hard_top_k(scores + limits.offsets(scores, 2), 2).tolist()  # the second best is of the best one's block
    [True, False, False, True]
    """

    sizes: Tuple[int, ...]  # heads per block, in flat order
    cap: Optional[int] = None
    floor: int = 0
    fixed: Tuple[bool, ...] = ()  # by block; empty: none

    @property
    def least(self) -> int:
        """Heads that the floor asks for."""
        return sum(self._at_least)

    @property
    def fixed_heads(self) -> Tensor:
        """Heads of fixed blocks: bool [H]."""
        sizes, fixed = torch.tensor(self.sizes), torch.tensor(self._fixed, dtype=torch.bool)
        return fixed.repeat_interleave(sizes)

    @property
    def most(self) -> int:
        """Heads that fit under the cap."""
        return self._room(self.cap)

    def offsets(self, scores: Tensor, k: int) -> Tensor:
        """What to add to the scores [H] before the k largest are taken; [H], of the same type.

        While more heads are to be open than fit under the cap (a budget that still falls), the
        lowest cap that leaves room for them applies.
        """
        offsets = torch.zeros_like(scores, requires_grad=False)
        if not any(self._at_least) and (self.cap is None or self.cap >= max(self.sizes, default=0)):
            return offsets
        cap = self._cap_of(k)
        sure = 0
        pieces = zip(scores.detach().split(self.sizes), offsets.split(self.sizes), self._at_least)
        for piece, own, least in pieces:
            best = torch.argsort(piece, descending=True, stable=True)
            own[best[max(cap, least) :]] = float("-inf")
            for head in best[:least].tolist():  # one after the other, so that each counts as one
                sure += 1
                own[head] = sure * _AHEAD
        return offsets

    def mask(self, scores: Tensor, k: int) -> Tensor:
        """The k heads with the largest scores [H] within the limits: bool [H], exactly k True."""
        return hard_top_k(scores + self.offsets(scores, k), k)

    def problems(self, k: int) -> List[str]:
        """Why k heads cannot be chosen within the limits, with the arithmetic."""
        blocks = f"{len(self.sizes)} blocks of {_span(self.sizes)} heads"
        if self.cap is not None and self.floor > self.cap:
            return [f"--min-heads-per-block {self.floor}: must not be above --max-heads-per-block {self.cap}"]
        if k < self.least:
            reasons = [f"--min-heads-per-block {self.floor}"] * bool(self.floor)
            reasons += ["the kinds that --prunable leaves out"] * any(self._fixed)
            return [
                f"--heads-to-keep {k}: {' and '.join(reasons)} ask for {self.least} in {blocks}; keep at least "
                f"{self.least}, or ask for less"
            ]
        if k > self.most:
            enough = next(cap for cap in range(max(self.sizes) + 1) if self._room(cap) >= k)
            return [
                f"--heads-to-keep {k}: --max-heads-per-block {self.cap} leaves room for {self.most} in {blocks}; keep "
                f"at most {self.most}, or raise it to {enough} or more"
            ]
        return []

    def _cap_of(self, k: int) -> int:
        cap = max(self.sizes, default=0) if self.cap is None else self.cap
        while self._room(cap) < k:
            cap += 1
        return cap

    @property
    def _fixed(self) -> Tuple[bool, ...]:
        return self.fixed or (False,) * len(self.sizes)

    @property
    def _at_least(self) -> List[int]:
        """Heads that each block keeps in any case."""
        return [size if fixed else min(size, self.floor) for size, fixed in zip(self.sizes, self._fixed)]

    def _room(self, cap: Optional[int]) -> int:
        return sum(
            size if cap is None or fixed else min(size, cap) for size, fixed in zip(self.sizes, self._fixed)
        )


def _span(sizes: Tuple[int, ...]) -> str:
    smallest, largest = min(sizes), max(sizes)
    return str(smallest) if smallest == largest else f"{smallest} to {largest}"
