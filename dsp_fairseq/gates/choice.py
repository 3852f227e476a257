"""The conditions that a choice of units has to meet: how many units decode in all, of each kind and in each block."""

from collections.abc import Sequence
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
    nests: bool = False  # whether its units are layers, which are chosen before what lies in them

    @property
    def units(self) -> int:
        """Number of units in the share."""
        return sum(self.pool.sizes)

    def fixed(self) -> "Share":
        """A share of the same units that keeps all of them."""
        pool = self.pool.fixed_pool()
        return Share(pool.total, pool)

    def without(self, closed: Sequence[bool]) -> "Share":
        """The share when blocks lie in closed layers: nothing of them is kept. ``closed`` has an entry per block."""
        pool, keep = self.pool.without(closed, self.keep)
        return replace(self, keep=keep, pool=pool)


@dataclass(frozen=True)
class Choice:
    """One share for the whole model, or one share per kind of block. Each share gets its exact K on its own."""

    shares: tuple[Share, ...]
    free_count: bool = False  # there is no K: every unit with a positive logit is kept (L0 gates)
    # per block, the flat index of the layer that it lies in, or None; empty where no layer can be removed
    holders: tuple[int | None, ...] = ()

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
        pieces, shares = self.cut(logits), self.shares
        if self.holders:
            layers = [
                share.pool.mask(piece, share.keep) if share.nests else torch.ones_like(piece, dtype=torch.bool)
                for share, piece in zip(shares, pieces, strict=True)
            ]
            shares = self.within(torch.cat(layers))
        return torch.cat([share.pool.mask(piece, share.keep) for share, piece in zip(shares, pieces, strict=True)])

    def within(self, open_units: Tensor) -> tuple[Share, ...]:
        """The shares without the blocks of closed layers; of ``open_units``, bool [H], only the layers are read."""
        if not self.holders:
            return self.shares
        found, first = [], 0
        for share in self.shares:
            own = self.holders[first : first + len(share.pool.sizes)]
            first += len(own)
            closed = [layer is not None and not open_units[layer] for layer in own]
            found.append(share.without(closed) if any(closed) else share)
        return tuple(found)

    @property
    def holder_of_unit(self) -> Tensor:
        """For each unit the flat index of the layer that it lies in, or -1: int64 [H]."""
        sizes = [size for share in self.shares for size in share.pool.sizes]
        layers = torch.tensor([-1 if layer is None else layer for layer in self.holders])
        return layers.repeat_interleave(torch.tensor(sizes))

    def accepts(self, mask: Tensor) -> bool:
        """Whether a mask, bool [H], meets all budgets and limits."""
        return all(
            share.pool.allows(piece, None if self.free_count else share.keep)
            for share, piece in zip(self.within(mask), self.cut(mask), strict=True)
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
