"""``ste``: straight-through, the hard top-K of the logits."""

from dataclasses import dataclass

from torch import Tensor

from ...structures.inventory import Inventory
from ..pool import Pool
from ..subset import straight_through_top_k
from .method import Method
from .option import RATE
from .registry import register_method
from .starts import published_logits


@register_method("ste")
@dataclass(frozen=True)
class StraightThrough(Method):
    """Hard top-K of the logits forward, identity backward; no noise, no temperature.

    Its entropy is computed for noise of scale 1, as if it were DSP.
    """

    SUMMARY = "straight-through"
    OPTIONS = (RATE.with_default(0.2),)
    learns = True
    takes_costs = False

    def initial_logits(self, inventory: Inventory) -> Tensor:
        return published_logits(inventory)

    def settled(self, update: int) -> bool:
        return False

    def gates(self, logits: Tensor, update: int, noise: Tensor, pool: Pool) -> Tensor:
        return straight_through_top_k(logits, self.keep, pool)
