"""Units of unequal cost as a pool: budgets are in parameters."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from .budgeted_mask import budgeted_mask
from .cut import gumbel_soft_cut
from .inclusion import chances_at_costs
from .pool import Floats, Pool
from .priced_units import PricedUnits


@dataclass(frozen=True)
class PricedPool(Pool):
    """Heads and hidden units that compete for one budget in parameters, each at its own cost."""

    counts_units: ClassVar[bool] = False

    units: PricedUnits
    # per block, whether the amount has its cost added, because the budget does not count it; empty: no block
    uncounted: tuple[bool, ...] = ()
    closed: tuple[bool, ...] = ()  # one entry per block: it lies in a closed layer and keeps nothing; empty: none does

    @property
    def sizes(self) -> tuple[int, ...]:  # type: ignore[override]
        return self.units.sizes

    @property
    def total(self) -> int:
        return sum(
            size * cost for size, cost, shut in zip(self.sizes, self.units.costs, self._closed, strict=True) if not shut
        )

    @property
    def equal_costs(self) -> bool:
        costs = {
            cost
            for cost, least, size in zip(self.units.costs, self.units.floors, self.sizes, strict=True)
            if least < size
        }
        return len(costs) < 2

    @cached_property
    def unit_costs(self) -> Tensor:
        return torch.from_numpy(self.units.unit_costs).double()

    def amount_of(self, mask: Tensor) -> int:
        return self.units.cost(mask.numpy())

    @cached_property
    def fixed_units(self) -> Tensor:
        return self._of_units(
            [
                least == size and not shut
                for least, size, shut in zip(self.units.floors, self.sizes, self._closed, strict=True)
            ]
        )

    @cached_property
    def choosable(self) -> Tensor:
        return self._of_units([least < most for least, most in zip(self.units.floors, self.units.caps, strict=True)])

    def mask(self, scores: Tensor, amount: int) -> Tensor:
        return budgeted_mask(scores, self.units, amount)

    def allows(self, mask: Tensor, amount: int | None) -> bool:
        counts = [int(piece.sum()) for piece in torch.split(mask, list(self.sizes))]
        bounds = zip(self.units.floors, counts, self.units.caps, strict=True)
        if not all(least <= count <= most for least, count, most in bounds):
            return False
        if amount is None:
            return True
        slack = amount - self.amount_of(mask)
        more = zip(counts, self.units.caps, self.units.costs, strict=True)
        return slack >= 0 and not any(count < most and cost <= slack for count, most, cost in more)

    def soft(self, logits: Tensor, amount: int, temperature: float, noise: Tensor, bounded: bool = False) -> Tensor:
        return gumbel_soft_cut(logits, noise, self.units, amount, temperature)

    def chances(self, scores: Floats, amount: int) -> Floats:
        if not any(self.closed):
            return chances_at_costs(scores, amount, self.units.unit_costs, self.fixed_units.numpy())
        open_units = ~self._of_units(list(self.closed)).numpy()
        costs, fixed = self.units.unit_costs[open_units], self.fixed_units.numpy()[open_units]
        found = np.zeros(len(scores))
        found[open_units] = chances_at_costs(scores[open_units], amount, costs, fixed)
        return found

    def fixed_pool(self) -> "PricedPool":
        return PricedPool(replace(self.units, floors=self.sizes, caps=self.sizes))

    def without(self, closed: Sequence[bool], amount: int) -> "tuple[PricedPool, int]":
        least, most = (
            tuple(0 if shut else bound for bound, shut in zip(bounds, closed, strict=True))
            for bounds in (self.units.floors, self.units.caps)
        )
        units = replace(self.units, floors=least, caps=most)
        uncounted = self.uncounted or (False,) * len(self.sizes)
        added = sum(
            size * cost
            for size, cost, own, shut in zip(self.sizes, self.units.costs, uncounted, closed, strict=True)
            if own and shut
        )
        return replace(self, units=units, closed=tuple(closed)), min(amount - added, units.cost_of_caps)

    @property
    def _closed(self) -> tuple[bool, ...]:
        return self.closed or (False,) * len(self.sizes)

    def _of_units(self, of_blocks: list[bool]) -> Tensor:
        """What is true of each block, for each of its units: bool [N]."""
        return torch.tensor(of_blocks, dtype=torch.bool).repeat_interleave(torch.tensor(self.sizes))
