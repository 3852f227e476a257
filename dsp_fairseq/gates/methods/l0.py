"""``l0``: independent hard-concrete gates, with a price on each open unit or a budget on their expected cost."""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from ...structures.inventory import Inventory
from ..expected_cost import expected_sparsity, target_sparsity
from ..hard_concrete import hard_concrete, logistic_noise, open_probability
from ..pool import Floats, Pool
from .method import Method, Options, search_problems, unfinished_search
from .option import RATE, SEARCH, Option
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
    OPTIONS: ClassVar[tuple[Option, ...]] = (
        RATE.with_default(0.05),
        Option(
            "l0_penalty",
            float,
            "l0, layerwise-l0: what one open unit costs, added to the loss per target token (nats); more units close "
            "when it is higher. Without a budget it alone says how many stay open. Left out, the expected cost "
            "of the open units is led to the budget (--heads-to-keep, --ffn-to-keep, --parameters-to-keep) during "
            "--search-updates",
            0,
            1e6,
            needs="the cost of an open head, such as 0.01, or a budget such as --heads-to-keep",
            before="heads_to_keep",
        ),
        Option(
            "initial_log_odds",
            float,
            "l0, layerwise-l0: log-odds of a gate at the start (default: 2.0; then 94 of 100 gates are above 0 with "
            "l0, and 88 of 100 are open with layerwise-l0)",
            -1e6,
            1e6,
            default=2.0,
            before="heads_to_keep",
        ),
        SEARCH,
    )
    learns = True
    needs_count = False
    independent = True

    @classmethod
    def variant(cls, options: Options) -> type[Method]:
        return BudgetedL0 if options["l0_penalty"] is None else L0

    @classmethod
    def build(cls, total: int, keep: int, options: Options) -> "L0":
        return cls(total, keep, options["l0_penalty"], options["initial_log_odds"])

    @classmethod
    def option_problems(cls, options: Options, given: Options, updates: int | None) -> list[str]:
        search = options["search_updates"]
        if search is not None and options["l0_penalty"] is not None:
            return [
                f"--search-updates {search}: with --l0-penalty the choice stays open to the end; leave out one of both"
            ]
        return search_problems(options, updates)

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

    def penalty(self, logits: Tensor, pool: Pool, update: int = 0) -> Tensor | None:
        return self.price * open_probability(logits).masked_fill(pool.fixed_units, 0.0).sum()


@dataclass(frozen=True)
class BudgetedL0(L0):
    """L0 gates whose expected cost a Lagrangian leads to the budget (CoFi, Xia et al., ACL 2022, section 3.2).

    The expected share of the cost that is closed has a target that rises during the search. At the end of the search
    the mask becomes the exact choice within the budget, and the weights train on under it, as with ``dsp``.
    """

    search: int | None = None  # update at which the search ends; None until it is planned

    searches = True
    constrained = True

    @classmethod
    def build(cls, total: int, keep: int, options: Options) -> "BudgetedL0":
        return cls(total, keep, 0.0, options["initial_log_odds"], options["search_updates"])

    @property
    def search_updates(self) -> int | None:
        return self.search

    def with_search(self, search: int) -> "BudgetedL0":
        return replace(self, search=search)

    def problems(self, length: int) -> list[str]:
        return [] if self.search is None else unfinished_search(self.search, length)

    def settled(self, update: int) -> bool:
        return self.search is not None and update >= self.search

    def open_amount(self, update: int) -> int | None:
        return self.keep if self.settled(update) else None

    def penalty(self, logits: Tensor, pool: Pool, update: int = 0) -> None:
        return None

    def sparsity(self, logits: Tensor, update: int, pool: Pool, inside: Tensor | None = None) -> tuple[Tensor, float]:
        if not self.total:  # a kind without units
            return logits.sum(), 0.0
        if inside is not None and self.keep >= self.total:  # the units go with their layers, and nothing else closes
            return 0.0 * logits.sum(), 0.0
        final = 1.0 - self.keep / self.total
        target = 0.0 if self.search is None else target_sparsity(update, final, self.search)
        return expected_sparsity(logits, pool.unit_costs, pool.fixed_units, inside), target
