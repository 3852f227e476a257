"""How many heads a block may keep."""

from dataclasses import dataclass
from typing import Optional, Tuple

import torch
from torch import Tensor

from .subset import hard_top_k


@dataclass(frozen=True)
class Limits:
    """At most ``cap`` heads in every block; None: as many as it has.

    A choice under the cap is an ordinary choice among the first ``cap`` heads of every block: the
    k largest of those are the k heads with the largest sum that the cap allows.
    """

    sizes: Tuple[int, ...]  # heads per block, in flat order
    cap: Optional[int] = None

    @property
    def room(self) -> int:
        """Heads that fit under the cap."""
        return self._room(self.cap)

    def allowed(self, scores: Tensor, k: int) -> Optional[Tensor]:
        """Heads that k may be chosen from, bool [H], given the scores [H] of all; None: all.

        While more heads are to be open than fit under the cap (a budget that still falls), the
        lowest cap that leaves room for them applies.
        """
        if self.cap is None or self.cap >= max(self.sizes, default=0):
            return None
        cap = self.cap
        while self._room(cap) < k:
            cap += 1
        return torch.cat([hard_top_k(piece, min(cap, len(piece))) for piece in scores.detach().split(self.sizes)])

    def mask(self, scores: Tensor, k: int) -> Tensor:
        """The k heads with the largest scores [H] that the cap allows: bool [H], exactly k True."""
        return hard_top_k(scores, k, self.allowed(scores, k))

    def _room(self, cap: Optional[int]) -> int:
        return sum(size if cap is None else min(size, cap) for size in self.sizes)
