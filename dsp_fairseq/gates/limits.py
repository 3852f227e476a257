"""How many units each block must keep at least and may keep at most."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from ..structures.heads import HEADS
from ..structures.structure import STRUCTURES
from .cut import gumbel_soft_cut
from .inclusion import chances, chances_within
from .pool import Floats, Pool
from .priced_units import PricedUnits
from .relaxed import Round
from .subset import gumbel_soft_top_k, hard_top_k


@dataclass(frozen=True)
class Limits(Pool):
    """Every block keeps at least ``floor`` and at most ``cap`` units; a block smaller than ``floor`` keeps all.

    A fixed block keeps all its units.

    >>> limits, scores = Limits(sizes=(2, 2), cap=1), torch.tensor([5.0, 4.0, 1.0, 2.0])
    >>> limits.mask(scores, 2).tolist()  # the second best score belongs to the block of the best, which is full
    [True, False, False, True]
    """

    counts_units: ClassVar[bool] = True

    sizes: tuple[int, ...]  # units per block, in flat order
    cap: int | None = None  # None: no cap
    floor: int = 0
    fixed: tuple[bool, ...] = ()  # one entry per block; empty when no block is fixed
    structure: str = HEADS.name  # name of the structure of the units
    count: int = 1  # how many heads or hidden units one unit counts as in options
    closed: tuple[bool, ...] = ()  # one entry per block: it lies in a closed layer and keeps nothing; empty: none does

    @property
    def least(self) -> int:
        """Smallest number of units that floors and fixed blocks allow in the whole share."""
        return sum(self._at_least)

    @property
    def total(self) -> int:
        return sum(self._open_sizes)

    @property
    def equal_costs(self) -> bool:
        return True

    @property
    def unit_costs(self) -> Tensor:
        return torch.ones(self.total, dtype=torch.float64)

    def amount_of(self, mask: Tensor) -> int:
        return int(mask.sum())

    @property
    def fixed_units(self) -> Tensor:
        """Units of fixed blocks: bool [H]."""
        return self._per_unit(self._fixed)

    @property
    def most(self) -> int:
        """Largest number of units that the cap allows in the whole share."""
        return self._room(self.cap)

    @cached_property
    def binding(self) -> bool:
        """Whether any block has a floor, or a cap below its size."""
        return (
            any(self._at_least) or any(self.closed) or (self.cap is not None and self.cap < max(self.sizes, default=0))
        )

    @cached_property
    def certain(self) -> Tensor:
        """Units that are kept whatever the scores are: bool [H]."""
        return self._per_unit([least >= size for least, size in zip(self._at_least, self.sizes, strict=True)])

    @cached_property
    def choosable(self) -> Tensor:
        """Units whose fate depends on the scores: bool [H]."""
        return self._per_unit(
            [least < size and self.cap != 0 for least, size in zip(self._at_least, self._open_sizes, strict=True)]
        )

    def bounds(self, k: int) -> tuple[list[int], list[int]]:
        """Smallest and largest number of units of each block when k units are chosen: two lists, one entry per block.

        When k units do not fit under the cap, as during a search whose number of open units still falls, the smallest
        cap that leaves room for k units applies.
        """
        cap = self._cap_of(k)
        return self._at_least, [
            max(least, min(size, cap)) for least, size in zip(self._at_least, self._open_sizes, strict=True)
        ]

    def mask(self, scores: Tensor, k: int) -> Tensor:
        """The mask of the k largest scores [H] that the limits allow: bool [H], exactly k True."""
        if not self.binding:
            return hard_top_k(scores, k)
        device, scores = scores.device, scores.detach().cpu()
        order = torch.argsort(scores, descending=True, stable=True)
        order = order[torch.argsort(self._blocks[order], stable=True)]  # block by block, best scores first
        place = torch.empty_like(order)  # rank of each unit within its block
        place[order] = self._places
        least, most = (torch.tensor(bound)[self._blocks] for bound in self.bounds(k))
        scores = scores.masked_fill(place < least, float("inf")).masked_fill(place >= most, float("-inf"))
        return hard_top_k(scores, k).to(device)

    def allows(self, mask: Tensor, amount: int | None) -> bool:
        """Whether a mask, bool [H], has ``amount`` units, None for any number, and an allowed number in every block."""
        if amount is not None and int(mask.sum()) != amount:
            return False
        least, most = self.bounds(int(mask.sum()))
        counts = [int(piece.sum()) for piece in torch.split(mask, list(self.sizes))]
        return all(low <= count <= high for low, count, high in zip(least, counts, most, strict=True))

    def soft(self, logits: Tensor, amount: int, temperature: float, noise: Tensor, bounded: bool = False) -> Tensor:
        """Relaxed gates [H], float64, with sum ``amount``.

        Of heads and layers they are made by as many softmaxes as in the paper (TACL 2021), of hidden units, which are
        many, by one cut (see ``cut.py``).
        """
        if not STRUCTURES[self.structure].counted_by_entry:
            return gumbel_soft_top_k(logits, amount, temperature, noise, self, bounded)
        least, most = self.bounds(amount)
        return gumbel_soft_cut(logits, noise, _of_equal_cost(self.sizes, (*least,), (*most,)), amount, temperature)

    def chances(self, scores: Floats, amount: int) -> Floats:
        least, most = self.bounds(amount)
        return chances_within(scores, amount, self.sizes, least, most) if self.binding else chances(scores, amount)

    def fixed_pool(self) -> "Limits":
        return replace(self, fixed=(True,) * len(self.sizes))

    def without(self, closed: Sequence[bool], amount: int) -> "tuple[Limits, int]":
        pool = replace(self, closed=tuple(closed))
        return pool, min(amount, pool.most)

    def by_structure(self, amount: int) -> dict[str, int]:
        return {self.structure: amount * self.count}

    def rounds(self, k: int) -> list[Round]:
        """The rounds in which k units are picked: first the floor of each block, then the rest from all blocks.

        As the temperature goes to 0 the picked units become those of :meth:`mask`. Raises ValueError when floors and
        fixed blocks need more than k units.
        """
        if k < self.least:
            raise ValueError(f"k must be at least {self.least}, which the limits ask for, got {k}")
        least, most = (np.array(bound) for bound in self.bounds(k))
        sizes, blocks = np.array(self.sizes), self._blocks.numpy()
        ends = sizes.cumsum()
        floors = [
            Round(slice(end - size, end), own)
            for end, size, own in zip(ends, sizes, least.tolist(), strict=True)
            if 0 < own < size
        ]
        full = (least == most)[blocks]
        capped = (least < most) & (most < sizes)
        closed = full if full.any() else None
        rest = Round(slice(0, len(blocks)), k - self.least, closed)
        if capped.any():
            rest = replace(rest, blocks=blocks, room=np.where(capped, most - least, np.inf))
        return [*floors, rest]

    def problems(self, k: int) -> list[str]:
        """Reasons why k units cannot be chosen within the limits, each with its arithmetic; empty when they can."""
        name, noun, count = self.structure, STRUCTURES[self.structure].noun, self.count
        sizes = [size for size, shut in zip(self.sizes, self._closed, strict=True) if not shut]
        blocks = f"{len(sizes)} blocks of {_span([size * count for size in sizes])} {noun}"
        floor, least, most = (number * count for number in (self.floor, self.least, self.most))
        if self.cap is not None and self.floor > self.cap:
            return [f"--min-{name}-per-block {floor}: must not be above --max-{name}-per-block {self.cap * count}"]
        if k < self.least:
            reasons = [f"--min-{name}-per-block {floor}"] * bool(self.floor)
            reasons += ["the kinds that --prunable leaves out"] * any(self._fixed)
            return [
                f"--{name}-to-keep {k * count}: {' and '.join(reasons)} ask for {least} in {blocks}; keep at least "
                f"{least}, or ask for less"
            ]
        if k > self.most:
            enough = count * next(cap for cap in range(max(self.sizes) + 1) if self._room(cap) >= k)
            cap = count * (self.cap or 0)
            return [
                f"--{name}-to-keep {k * count}: --max-{name}-per-block {cap} leaves room for {most} in "
                f"{blocks}; keep at most {most}, or raise it to {enough} or more"
            ]
        return []

    def _cap_of(self, k: int) -> int:
        """The cap, raised until k units fit under it."""
        largest = max(self.sizes, default=0)
        cap = largest if self.cap is None else self.cap
        while self._room(cap) < k and cap < largest:
            cap += 1
        return cap

    def _per_unit(self, of_blocks: Sequence[bool]) -> Tensor:
        """Repeat one truth value per block for each unit of the block: bool [H]."""
        return torch.tensor(of_blocks, dtype=torch.bool)[self._blocks]

    @cached_property
    def _blocks(self) -> Tensor:
        """Index of the block of each unit: int64 [H]."""
        return torch.arange(len(self.sizes)).repeat_interleave(torch.tensor(self.sizes, dtype=torch.long))

    @cached_property
    def _places(self) -> Tensor:
        """Index of each unit within its block: int64 [H]."""
        return torch.cat([torch.arange(size) for size in self.sizes])

    @property
    def _fixed(self) -> tuple[bool, ...]:
        """For each block, whether it is fixed and open."""
        fixed = self.fixed or (False,) * len(self.sizes)
        return tuple(own and not shut for own, shut in zip(fixed, self._closed, strict=True)) if self.closed else fixed

    @property
    def _closed(self) -> tuple[bool, ...]:
        return self.closed or (False,) * len(self.sizes)

    @property
    def _open_sizes(self) -> tuple[int, ...]:
        """Units per block that is not closed, and 0 for the others."""
        if not self.closed:
            return self.sizes
        return tuple(0 if shut else size for size, shut in zip(self.sizes, self.closed, strict=True))

    @property
    def _at_least(self) -> list[int]:
        """Smallest number of units of each block."""
        return [
            size if fixed else min(size, self.floor) for size, fixed in zip(self._open_sizes, self._fixed, strict=True)
        ]

    def _room(self, cap: int | None) -> int:
        """Number of units in the whole share that fit under a cap."""
        return sum(
            size if cap is None or fixed else min(size, cap)
            for size, fixed in zip(self._open_sizes, self._fixed, strict=True)
        )


@cache
def _of_equal_cost(sizes: tuple[int, ...], least: tuple[int, ...], most: tuple[int, ...]) -> PricedUnits:
    """Units that cost 1 each; kept, because every update of a search asks for those of its bounds."""
    return PricedUnits(sizes, (1,) * len(sizes), least, most)


def _span(sizes: Sequence[int]) -> str:
    smallest, largest = min(sizes), max(sizes)
    return str(smallest) if smallest == largest else f"{smallest} to {largest}"
