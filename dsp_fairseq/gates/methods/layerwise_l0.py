"""``layerwise-l0``: hard-concrete gates that are 0 or 1 in every update, with a price that warms up."""

from dataclasses import dataclass

from torch import Tensor

from ...errors import MOST
from ..hard_concrete import hard_concrete, is_open
from ..pool import Pool
from .l0 import L0, BudgetedL0
from .method import Method, Options
from .option import RATE, SEARCH, Option
from .registry import register_method


@register_method("layerwise-l0")
@dataclass(frozen=True)
class LayerwiseL0(L0):
    """Layer-wise pruning of attention heads (Shim et al., "Layer-wise Pruning of Transformer Attention Heads", 2021).

    Three things differ from ``l0``: the gates are rounded in the forward pass and have the gradient of the
    hard-concrete gates; the price rises from 0 during the first updates; and the outputs of blocks are scaled
    (``--output-scaling``). All units start open with log-odds 2.
    """

    warm_up: int = 0  # updates over which the price rises, linearly

    SUMMARY = "hard-concrete gates of 0 or 1, scaled outputs"
    OPTIONS = (
        RATE.with_default(0.05),
        *(option for option in L0.OPTIONS if option.name in ("l0_penalty", "initial_log_odds")),
        Option(
            "penalty_warmup_updates",
            int,
            "layerwise-l0: updates over which --l0-penalty rises from 0, linearly; about one epoch is published "
            "(default: 0, the whole price from the start)",
            0,
            MOST,
            default=0,
        ),
        SEARCH,
    )
    scales_output = True

    @classmethod
    def variant(cls, options: Options) -> type[Method]:
        return BudgetedLayerwiseL0 if options["l0_penalty"] is None else LayerwiseL0

    @classmethod
    def build(cls, total: int, keep: int, options: Options) -> "LayerwiseL0":
        return cls(
            total, keep, options["l0_penalty"], options["initial_log_odds"], options["penalty_warmup_updates"] or 0
        )

    @classmethod
    def option_problems(cls, options: Options, given: Options, updates: int | None) -> list[str]:
        problems = super().option_problems(options, given, updates)
        warm_up = options["penalty_warmup_updates"]
        if options["l0_penalty"] is None and given.get("penalty_warmup_updates"):
            problems.append(
                f"--penalty-warmup-updates {warm_up}: without --l0-penalty there is no price that could rise; "
                "leave out one, or give both"
            )
        return problems

    def gates(self, logits: Tensor, update: int, noise: Tensor, pool: Pool) -> Tensor:
        return rounded(hard_concrete(logits, noise), logits + noise).masked_fill(pool.fixed_units, 1.0)

    def penalty(self, logits: Tensor, pool: Pool, update: int = 0) -> Tensor | None:
        price = super().penalty(logits, pool)
        return None if price is None else price * warmed(update, self.warm_up)


@dataclass(frozen=True)
class BudgetedLayerwiseL0(BudgetedL0):
    """Gates of 0 or 1 whose expected cost is led to a budget, as with ``l0``; the end of the search is exact."""

    scales_output = True

    def gates(self, logits: Tensor, update: int, noise: Tensor, pool: Pool) -> Tensor:
        return rounded(hard_concrete(logits, noise), logits + noise).masked_fill(pool.fixed_units, 1.0)


def rounded(soft: Tensor, perturbed: Tensor) -> Tensor:
    """Gates [H] of 0 and 1 with the gradient of ``soft`` [H] (straight-through).

    A gate is 1 where sigmoid((log-odds + noise) / beta) is above 1/2: where ``perturbed`` [H] is positive.
    """
    hard = is_open(perturbed).to(soft)
    return hard + (soft - soft.detach())


def warmed(update: int, warm_up: int) -> float:
    """Share of the price at an update, c(n) / c = min((n + 1) / T, 1) for a warm-up of T updates.

    >>> [warmed(update, 4) for update in (0, 1, 3, 9)]
    [0.25, 0.5, 1.0, 1.0]
    """
    return min((update + 1) / warm_up, 1.0) if warm_up else 1.0
