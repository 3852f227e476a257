"""``ste``: the hard top-K of the logits with the straight-through gradient."""

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
    """The gates are the hard top-K of the logits, and their gradient passes to the logits unchanged.

    The method has no noise and no temperature; the entropy in the logs is that for noise of scale 1, as for DSP.
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
