"""What a choice of heads has to keep to: how many, of which kinds, how many in a block."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .hard_concrete import is_open
from .limits import Limits
from .pool import Pool
from .priced_pool import PricedPool


@dataclass(frozen=True)
class Share:
    """Heads that follow one another in flat order and share a budget: all of them, or those of a kind."""

    keep: int  # amount
    limits: Pool

    @property
    def units(self) -> int:
        return sum(self.limits.sizes)

    def fixed(self) -> "Share":
        """The same heads, of which all are kept."""
        return Share(self.units, Limits(self.limits.sizes, fixed=(True,) * len(self.limits.sizes)))


@dataclass(frozen=True)
class Choice:
    """One share for the whole model, or one for each kind of block; each is chosen by itself, exactly."""

    shares: tuple[Share, ...]
    free_count: bool = False  # no budget: every head is kept whose logit is positive (L0 gates)

    @property
    def choosable(self) -> Tensor:
        """Heads that limits leave open, neither in nor out in any case: bool [H]."""
        return torch.cat([share.limits.choosable for share in self.shares])

    def cut(self, flat: Tensor) -> list[Tensor]:
        """A flat tensor [H] cut into one piece per share."""
        return list(torch.split(flat, [share.units for share in self.shares]))

    def mask(self, logits: Tensor) -> Tensor:
        """The heads with the largest logits [H] within the budgets and limits: bool [H], exactly K True."""
        if self.free_count:
            return is_open(logits) | torch.cat([share.limits.fixed_units for share in self.shares])
        return torch.cat([s.limits.mask(piece, s.keep) for s, piece in zip(self.shares, self.cut(logits), strict=True)])

    def accepts(self, mask: Tensor) -> bool:
        """Whether a mask, bool [H], is within budgets and limits."""
        return all(
            share.limits.allows(piece, None if self.free_count else share.keep)
            for share, piece in zip(self.shares, self.cut(mask), strict=True)
        )

    def budget_in_words(self, mask: Tensor) -> str | None:
        """How much of a budget in parameters a mask, bool [units], uses; None where there is no such budget."""
        for share, piece in zip(self.shares, self.cut(mask), strict=True):
            if isinstance(share.limits, PricedPool):
                spent = share.limits.amount_of(piece)
                return f"{spent:,} of at most {share.keep:,} parameters, {share.keep - spent:,} left"
        return None

    def with_keep(self, keep: int) -> "Choice":
        """The same limits and another K; for a choice with one budget for the whole model."""
        [share] = self.shares
        return Choice((replace(share, keep=keep),))
