"""The conditions that a choice of units has to meet: how many units decode in all, of each kind and in each block."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .hard_concrete import is_open
from .pool import Pool


@dataclass(frozen=True)
class Share:
    """Units that have one budget, contiguous in flat order: all units of a model, or those of one kind of block."""

    keep: int  # the amount that decodes: a number of units, or of parameters where units differ in cost
    pool: Pool

    @property
    def units(self) -> int:
        """Number of units in the share."""
        return sum(self.pool.sizes)

    def fixed(self) -> "Share":
        """A share of the same units that keeps all of them."""
        pool = self.pool.fixed_pool()
        return Share(pool.total, pool)


@dataclass(frozen=True)
class Choice:
    """One share for the whole model, or one share per kind of block. Each share gets its exact K on its own."""

    shares: tuple[Share, ...]
    free_count: bool = False  # there is no K: every unit with a positive logit is kept (L0 gates)

    @property
    def choosable(self) -> Tensor:
        """Units whose fate the limits do not decide: bool [H]."""
        return torch.cat([share.pool.choosable for share in self.shares])

    def cut(self, flat: Tensor) -> list[Tensor]:
        """Cut a flat tensor [H] into one piece [units of the share] per share."""
        return list(torch.split(flat, [share.units for share in self.shares]))

    def mask(self, logits: Tensor) -> Tensor:
        """The mask of the largest logits [H] that the budgets and limits allow: bool [H], exactly K True."""
        if self.free_count:
            return is_open(logits) | torch.cat([share.pool.fixed_units for share in self.shares])
        return torch.cat([s.pool.mask(piece, s.keep) for s, piece in zip(self.shares, self.cut(logits), strict=True)])

    def accepts(self, mask: Tensor) -> bool:
        """Whether a mask, bool [H], meets all budgets and limits."""
        return all(
            share.pool.allows(piece, None if self.free_count else share.keep)
            for share, piece in zip(self.shares, self.cut(mask), strict=True)
        )

    def budget_in_words(self, mask: Tensor) -> str | None:
        """How much of a budget in parameters a mask, bool [units], uses; None where there is no such budget."""
        for share, piece in zip(self.shares, self.cut(mask), strict=True):
            if not share.pool.counts_units:
                spent = share.pool.amount_of(piece)
                return f"{spent:,} of at most {share.keep:,} parameters, {share.keep - spent:,} left"
        return None

    def with_keep(self, keep: int) -> "Choice":
        """The choice of another K under the same limits; only for a choice with a single share."""
        [share] = self.shares
        return Choice((replace(share, keep=keep),))
