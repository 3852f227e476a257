"""``l0``: independent hard-concrete gates with a penalty on each open unit."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ...structures.inventory import Inventory
from ..hard_concrete import hard_concrete, logistic_noise, open_probability
from ..inclusion import Floats
from ..pool import Pool
from .method import Method, Options
from .option import RATE, Option
from .registry import register_method


@register_method("l0")
@dataclass(frozen=True)
class L0(Method):
    """Independent hard-concrete gates, with the expected number of open units as a penalty (Voita et al., ACL 2019).

    The logits are the log-odds of the gates.
    """

    price: float  # price of one expected open unit, in nats per target token
    initial: float  # log-odds of all gates at the start

    SUMMARY = "hard-concrete gates"
    OPTIONS = (
        RATE.with_default(0.05),
        Option(
            "l0_penalty",
            float,
            "l0: what one open head costs, added to the loss per target token (nats); more heads close when it is "
            "higher. Without --heads-to-keep it alone says how many",
            0,
            1e6,
            needs="the cost of an open head, such as 0.01",
            before="heads_to_keep",
        ),
        Option(
            "initial_log_odds",
            float,
            "l0: log-odds of a gate at the start (default: 2.0, which is open in 94 of 100)",
            -1e6,
            1e6,
            default=2.0,
            before="heads_to_keep",
        ),
    )
    learns = True
    needs_count = False
    independent = True

    @classmethod
    def build(cls, total: int, keep: int, options: Options) -> "L0":
        return cls(total, keep, options["l0_penalty"], options["initial_log_odds"])

    def initial_logits(self, inventory: Inventory) -> Tensor:
        return torch.full((inventory.units,), self.initial, dtype=torch.float64)

    def settled(self, update: int) -> bool:
        return False

    def open_amount(self, update: int) -> int | None:
        return None

    def noise(self, size: int, generator: torch.Generator) -> Tensor:
        return logistic_noise(size, generator)

    def gates(self, logits: Tensor, update: int, noise: Tensor, pool: Pool) -> Tensor:
        return hard_concrete(logits, noise).masked_fill(pool.fixed_units, 1.0)

    def inclusion(self, logits: Tensor, update: int, pool: Pool) -> Floats:
        """Probability [H] that each gate is above 1/2, which is sigmoid(log-odds) whatever K is."""
        probability: Floats = torch.sigmoid(logits).masked_fill(pool.fixed_units, 1.0).numpy()
        return probability

    def penalty(self, logits: Tensor, pool: Pool) -> Tensor:
        return self.price * open_probability(logits).masked_fill(pool.fixed_units, 0.0).sum()
