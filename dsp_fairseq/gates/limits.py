"""How few and how many heads a block may keep."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ..structures.heads import HEADS
from ..structures.structure import STRUCTURES
from .cut import gumbel_soft_cut
from .pool import Pool
from .priced_units import PricedUnits
from .relaxed import Round
from .subset import gumbel_soft_top_k, hard_top_k


@dataclass(frozen=True)
class Limits(Pool):
    """At least ``floor`` and at most ``cap`` heads in every block; a block smaller than that keeps all.

    Blocks that are ``fixed`` keep all their heads.

    >>> limits, scores = Limits(sizes=(2, 2), cap=1), torch.tensor([5.0, 4.0, 1.0, 2.0])
    >>> limits.mask(scores, 2).tolist()  # the second best is of the best one's block
    [True, False, False, True]
    """

    sizes: tuple[int, ...]  # heads per block, in flat order
    cap: int | None = None
    floor: int = 0
    fixed: tuple[bool, ...] = ()  # by block; empty: none
    structure: str = HEADS.name  # what the units are, and by how much one counts in options
    count: int = 1

    @property
    def least(self) -> int:
        """Heads that the floor asks for."""
        return sum(self._at_least)

    @property
    def total(self) -> int:
        return sum(self.sizes)

    @property
    def equal_costs(self) -> bool:
        return True

    def amount_of(self, mask: Tensor) -> int:
        return int(mask.sum())

    @property
    def fixed_units(self) -> Tensor:
        """Units of fixed blocks: bool [H]."""
        return self._of_heads(self._fixed)

    @property
    def most(self) -> int:
        """Heads that fit under the cap."""
        return self._room(self.cap)

    @cached_property
    def binding(self) -> bool:
        """Whether there is anything to keep to beside the number of heads."""
        return any(self._at_least) or (self.cap is not None and self.cap < max(self.sizes, default=0))

    @cached_property
    def certain(self) -> Tensor:
        """Heads that stay whatever the scores are: bool [H]."""
        return self._of_heads([least >= size for least, size in zip(self._at_least, self.sizes, strict=True)])

    @cached_property
    def choosable(self) -> Tensor:
        """Heads that are neither in nor out in any case: bool [H]."""
        return self._of_heads(
            [least < size and self.cap != 0 for least, size in zip(self._at_least, self.sizes, strict=True)]
        )

    def bounds(self, k: int) -> tuple[list[int], list[int]]:
        """Heads that each block keeps at least and at most when k are chosen.

        While more heads are to be open than fit under the cap (a budget that still falls), the
        lowest cap that leaves room for them applies.
        """
        cap = self._cap_of(k)
        return self._at_least, [
            max(least, min(size, cap)) for least, size in zip(self._at_least, self.sizes, strict=True)
        ]

    def mask(self, scores: Tensor, k: int) -> Tensor:
        """The k heads with the largest scores [H] within the limits: bool [H], exactly k True."""
        if not self.binding:
            return hard_top_k(scores, k)
        device, scores = scores.device, scores.detach().cpu()
        order = torch.argsort(scores, descending=True, stable=True)
        order = order[torch.argsort(self._blocks[order], stable=True)]  # block by block, the best of each first
        place = torch.empty_like(order)  # of each head within its block
        place[order] = self._places
        least, most = (torch.tensor(bound)[self._blocks] for bound in self.bounds(k))
        scores = scores.masked_fill(place < least, float("inf")).masked_fill(place >= most, float("-inf"))
        return hard_top_k(scores, k).to(device)

    def allows(self, mask: Tensor, amount: int | None) -> bool:
        """Whether ``amount`` units of a mask, bool [H], are kept, and in every block as many as it may keep.

        ``amount`` is None where there is no budget.
        """
        if amount is not None and int(mask.sum()) != amount:
            return False
        least, most = self.bounds(int(mask.sum()))
        counts = [int(piece.sum()) for piece in torch.split(mask, list(self.sizes))]
        return all(low <= count <= high for low, count, high in zip(least, counts, most, strict=True))

    def soft(self, logits: Tensor, amount: int, temperature: float, noise: Tensor, bounded: bool = False) -> Tensor:
        """Relaxed gates [H], float64, with sum ``amount``.

        Of heads they are made by as many softmaxes as in the paper (TACL 2021), of hidden units, which are many, by one
        cut (see ``cut.py``).
        """
        if self.structure == HEADS.name:
            return gumbel_soft_top_k(logits, amount, temperature, noise, self, bounded)
        least, most = self.bounds(amount)
        units = PricedUnits(self.sizes, (1,) * len(self.sizes), tuple(least), tuple(most))
        return gumbel_soft_cut(logits, noise, units, amount, temperature)

    def rounds(self, k: int) -> list[Round]:
        """How k heads are picked one after the other: for each block its floor, the rest from all blocks.

        At a temperature towards 0 these are the heads of :meth:`mask`. Raises ValueError when the floors alone ask
        for more than k.
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
        """Why k units cannot be chosen within the limits, with the arithmetic."""
        name, noun, count = self.structure, STRUCTURES[self.structure].noun, self.count
        blocks = f"{len(self.sizes)} blocks of {_span([size * count for size in self.sizes])} {noun}"
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
        largest = max(self.sizes, default=0)
        cap = largest if self.cap is None else self.cap
        while self._room(cap) < k and cap < largest:
            cap += 1
        return cap

    def _of_heads(self, of_blocks: Sequence[bool]) -> Tensor:
        """What is true of each block, for each of its heads: bool [H]."""
        return torch.tensor(of_blocks, dtype=torch.bool)[self._blocks]

    @cached_property
    def _blocks(self) -> Tensor:
        """Block of each head: int [H]."""
        return torch.arange(len(self.sizes)).repeat_interleave(torch.tensor(self.sizes, dtype=torch.long))

    @cached_property
    def _places(self) -> Tensor:
        """Place of each head in its block, from 0: int [H]."""
        return torch.cat([torch.arange(size) for size in self.sizes])

    @property
    def _fixed(self) -> tuple[bool, ...]:
        return self.fixed or (False,) * len(self.sizes)

    @property
    def _at_least(self) -> list[int]:
        """Heads that each block keeps in any case."""
        return [size if fixed else min(size, self.floor) for size, fixed in zip(self.sizes, self._fixed, strict=True)]

    def _room(self, cap: int | None) -> int:
        return sum(
            size if cap is None or fixed else min(size, cap)
            for size, fixed in zip(self.sizes, self._fixed, strict=True)
        )


def _span(sizes: Sequence[int]) -> str:
    smallest, largest = min(sizes), max(sizes)
    return str(smallest) if smallest == largest else f"{smallest} to {largest}"
