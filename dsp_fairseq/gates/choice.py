"""What a choice of heads has to keep to: how many, of which kinds, how many in a block."""

from dataclasses import dataclass
from typing import List, Tuple

import torch
from torch import Tensor

from .limits import Limits


@dataclass(frozen=True)
class Share:
    """Heads that follow one another in flat order and share a budget: all of them, or those of a kind."""

    keep: int
    limits: Limits

    @property
    def heads(self) -> int:
        return sum(self.limits.sizes)


@dataclass(frozen=True)
class Choice:
    """One share for the whole model, or one for each kind of block; each is chosen by itself, exactly."""

    shares: Tuple[Share, ...]

    @property
    def keep(self) -> int:
        """K, heads of the whole model that are kept."""
        return sum(share.keep for share in self.shares)

    def cut(self, flat: Tensor) -> List[Tensor]:
        """A flat tensor [H] cut into one piece per share."""
        return list(flat.split([share.heads for share in self.shares]))

    def mask(self, logits: Tensor) -> Tensor:
        """The heads with the largest logits [H] within the budgets and limits: bool [H], exactly K True."""
        return torch.cat([s.limits.mask(piece, s.keep) for s, piece in zip(self.shares, self.cut(logits))])
