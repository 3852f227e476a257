"""The base class of pruning methods: the gates and temperature of an update, and when the mask is final.

A method is a small immutable object for one share of the units; the logits belong to the caller. In the docstrings H
is the number of units of the share, K the number of those that decode, and an update is a number of fairseq's counter.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from ...structures.inventory import Inventory
from ..inclusion import inclusion
from ..pool import Floats, Pool
from ..subset import gumbel_noise
from .option import Option
from .starts import UNIFORM_PRIOR, uniform_logits

Options = Mapping[str, Any]  # values by name, with the defaults filled in
# Share of the planned updates that a search takes without --search-updates, by --pruning-mode. Pipelined searches take
# all updates, because frozen weights have nothing to learn under the final mask.
SEARCH_SHARE = {"joint": 0.3, "pipelined": 1.0}


@dataclass(frozen=True)
class Method:
    """The base of all methods. As it stands its mask is fixed from the first update; subclasses override the rest."""

    total: int  # the amount of the share when all its units are open: a number of units, or of parameters
    keep: int  # the amount that decodes

    SUMMARY: ClassVar[str] = ""  # a few words for the help of --pruning-method
    OPTIONS: ClassVar[tuple[Option, ...]] = ()  # the options that the method reads, with its defaults
    learns: ClassVar[bool] = False  # whether the logits are trained
    searches: ClassVar[bool] = False  # whether the choice becomes final at some update of the training
    pooled: ClassVar[bool] = False  # whether all logits share one second moment (see LogitAdam)
    takes_costs: ClassVar[bool] = True  # whether units of unequal cost can compete for a budget in parameters
    needs_count: ClassVar[bool] = True  # whether --heads-to-keep is required; False also excludes --heads-to-keep-range
    independent: ClassVar[bool] = False  # whether the logits are log-odds: without K the positive ones decode

    scales_output: ClassVar[bool] = False  # whether --output-scaling is on unless the user says otherwise
    scores_weights: ClassVar[bool] = False  # whether blocks of weights have scores (see gates/weights), and no unit has
    constrained: ClassVar[bool] = False  # whether a Lagrangian on the expected cost meets the budget

    @classmethod
    def variant(cls, options: Options) -> "type[Method]":
        """The class for these options, defaults filled in, for a method that has several."""
        return cls

    @classmethod
    def build(cls, total: int, keep: int, options: Options) -> Self:
        """Make the method for a share of the amount ``total`` of which ``keep`` decodes."""
        return cls(total, keep)

    @classmethod
    def defaults(cls, mode: str) -> dict[str, Any]:
        """Default of every option that the method reads, under a ``--pruning-mode``."""
        return {option.name: option.default_of(mode) for option in cls.OPTIONS}

    @classmethod
    def option_problems(cls, options: Options, given: Options, updates: int | None) -> list[str]:
        """Problems of option values that contradict each other, one line each; each value is in its own range.

        Args:
            options: all options, with the defaults of the method filled in.
            given: only the options that the user gave.
            updates: number of updates of the whole training from --max-update; None without it.
        """
        return []

    def initial_logits(self, inventory: Inventory) -> Tensor:
        """Logits of the whole model at the start, float64; those of this base class make the uniform choice."""
        return uniform_logits(inventory, UNIFORM_PRIOR)

    @property
    def search_updates(self) -> int | None:
        """Number of updates until the choice is final; None for methods without a search, and until it is planned."""
        return None

    def with_search(self, search: int) -> "Method":
        """The same method with a search that ends at update ``search``, if it has a search."""
        return self

    def problems(self, length: int) -> list[str]:
        """Reasons why the search cannot end as planned in a training of ``length`` updates, one line each."""
        return []

    def settled(self, update: int) -> bool:
        """Whether training uses the mask that decodes from this update on."""
        return True

    def open_amount(self, update: int) -> int | None:
        """The amount that is open in training at an update; None when it is left to chance."""
        return self.keep

    def temperature(self, update: int) -> float | None:
        """Temperature of the relaxation at an update, in units of the logits; None without a relaxation."""
        return None

    def noise(self, size: int, generator: torch.Generator) -> Tensor:
        """Draw the noise [size], float64, for the gates of an update."""
        return gumbel_noise(size, generator)

    def penalty(self, logits: Tensor, pool: Pool, update: int = 0) -> Tensor | None:
        """Scalar added to the loss of an update per unit of sample size, with gradient to the logits [H]; or None."""
        return None

    def sparsity(self, logits: Tensor, update: int, pool: Pool, inside: Tensor | None = None) -> tuple[Tensor, float]:
        """Expected share of the cost that is closed, with gradient to the logits [H], and its target at an update.

        ``inside`` [H] is the probability that the layer of a unit is open; None: all layers are. Called for constrained
        methods only.
        """
        raise AssertionError("the method has no constraint")

    def gates(self, logits: Tensor, update: int, noise: Tensor, pool: Pool) -> Tensor:
        """Gates [H] of an update, float64, with gradient to the logits [H]; not called once the method is settled."""
        raise AssertionError("a settled method has no gates to sample")

    def noise_level(self, update: int) -> float:
        """Scale of the noise at an update, in units of the logits."""
        return 1.0

    def inclusion(self, logits: Tensor, update: int, pool: Pool) -> Floats:
        """Probability [H], float64, that each unit is in the subset; not called once the method is settled."""
        return inclusion(logits.numpy(), self.keep, self.noise_level(update), pool)


def temperature_problems(options: Options, given: Options) -> list[str]:
    """One line when the final temperature is above the initial one, else an empty list."""
    first, last = options["initial_temperature"], options["final_temperature"]
    if last <= first:
        return []
    first_is, last_is = (
        "" if given.get(name) else " (the default)" for name in ("initial_temperature", "final_temperature")
    )
    return [
        f"--final-temperature {last}{last_is}: the temperature falls, so it must not be above --initial-temperature "
        f"{first}{first_is}"
    ]


def search_problems(options: Options, updates: int | None) -> list[str]:
    """A line when the search of the options ends after the ``updates`` of the training."""
    search = options["search_updates"]
    if search is None or not updates or search <= updates:
        return []
    return [f"--search-updates {search}: must not be above --max-update ({updates}), or the choice is never made"]


def unfinished_search(search: int, length: int) -> list[str]:
    """A line when a planned search ends after a training of ``length`` updates."""
    if search <= length:
        return []
    return [
        f"--search-updates {search}: the training ends before, after {length} updates, so the choice is "
        "never final; say fewer, or train longer (--max-update, --max-epoch)"
    ]
