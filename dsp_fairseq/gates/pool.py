"""What a choice chooses from: units that share a budget, with the limits of their blocks."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt
from torch import Tensor

Floats = npt.NDArray[np.float64]


class Pool(ABC):
    """N units, block after block, that share a budget.

    An *amount* is what the budget counts: units, or parameters where units differ in cost.
    """

    sizes: tuple[int, ...]  # units per block, in flat order
    counts_units: ClassVar[bool]  # whether an amount is a number of units

    @property
    @abstractmethod
    def total(self) -> int:
        """The amount when all units are open."""

    @abstractmethod
    def amount_of(self, mask: Tensor) -> int:
        """What a budget counts for the units that are True in a mask, bool [N]."""

    @property
    @abstractmethod
    def fixed_units(self) -> Tensor:
        """Units of blocks that keep all theirs: bool [N]."""

    @property
    @abstractmethod
    def choosable(self) -> Tensor:
        """Units that are neither kept nor removed in any case: bool [N]."""

    @property
    @abstractmethod
    def unit_costs(self) -> Tensor:
        """What a budget counts for each unit: float64 [N]."""

    @property
    @abstractmethod
    def equal_costs(self) -> bool:
        """Whether all units that can be removed count the same."""

    @abstractmethod
    def mask(self, scores: Tensor, amount: int) -> Tensor:
        """The units that are kept for the scores [N]: bool [N]. At most the amount is kept, and nothing more fits."""

    @abstractmethod
    def allows(self, mask: Tensor, amount: int | None) -> bool:
        """Whether a mask, bool [N], keeps to the limits and could be the choice for an amount; None: for any."""

    @abstractmethod
    def soft(self, logits: Tensor, amount: int, temperature: float, noise: Tensor, bounded: bool = False) -> Tensor:
        """Relaxed gates [N], float64, whose amounts sum to ``amount``, with gradient to the logits."""

    @abstractmethod
    def chances(self, scores: Floats, amount: int) -> Floats:
        """Probability [N] that each unit is kept when standard Gumbel noise is added to the scores [N]."""

    @abstractmethod
    def fixed_pool(self) -> Self:
        """A pool of the same units that keeps all of them."""

    @abstractmethod
    def without(self, closed: Sequence[bool], amount: int) -> "tuple[Pool, int]":
        """The pool whose ``closed`` blocks keep no unit, and what of an amount can be kept there.

        ``closed`` has an entry for each block: the block lies in a layer that is closed.
        """

    def by_structure(self, amount: int) -> dict[str, int] | None:
        """Numbers of heads, hidden units or layers, by structure, that an amount is; None where it may be several."""
        return None

    def straight_through(self, logits: Tensor, amount: int, temperature: float, noise: Tensor) -> Tensor:
        """The mask of logits + noise forward, the gradient of :meth:`soft` backward: {0, 1} gates [N], float64."""
        relaxed = self.soft(logits, amount, temperature, noise)
        hard = self.mask(logits.detach().double() + noise.double(), amount)
        return hard.double() + (relaxed - relaxed.detach())

    def problems(self, amount: int) -> Sequence[str]:
        """Why no choice of that amount is within the limits, one line each."""
        return []
