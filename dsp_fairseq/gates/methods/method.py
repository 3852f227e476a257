"""What every pruning method answers: which gates an update has, which temperature, when the mask is final.

A method is a small immutable object; the logits belong to the caller. H = heads of the model,
K = heads to keep, update = fairseq's update counter.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from ...structures.inventory import Inventory
from ..inclusion import Floats, inclusion
from ..pool import Pool
from ..subset import gumbel_noise
from .option import Option
from .starts import UNIFORM_PRIOR, uniform_logits

Options = Mapping[str, Any]  # values by name, defaults filled in
# by --pruning-mode: share of the planned updates that a search takes when --search-updates is not given; frozen weights
# cannot train on under the final mask
SEARCH_SHARE = {"joint": 0.3, "pipelined": 1.0}


@dataclass(frozen=True)
class Method:
    """A method whose mask is fixed from the first update; the others override what they do otherwise."""

    total: int  # amount of the share when all its units are open: heads, hidden units in groups, or parameters
    keep: int  # amount that stays open at evaluation

    SUMMARY: ClassVar[str] = ""  # for the help of --pruning-method
    OPTIONS: ClassVar[tuple[Option, ...]] = ()  # that the method reads, with its defaults
    learns: ClassVar[bool] = False  # whether the logits move
    searches: ClassVar[bool] = False  # whether the choice is final at some update
    pooled: ClassVar[bool] = False  # whether all logits share one second moment (see LogitAdam)
    takes_costs: ClassVar[bool] = True  # whether units of unequal cost can compete for a budget in parameters
    needs_count: ClassVar[bool] = True  # whether --heads-to-keep must be given; else there is no K to draw either
    independent: ClassVar[bool] = False  # the logits are log-odds; without --heads-to-keep the positive ones stay open

    @classmethod
    def build(cls, total: int, keep: int, options: Options) -> Self:
        """The method for a share of the amount ``total``, of which ``keep`` stays."""
        return cls(total, keep)

    @classmethod
    def defaults(cls, mode: str) -> dict[str, Any]:
        """Default of every option that the method reads, in a ``--pruning-mode``."""
        return {option.name: option.default_of(mode) for option in cls.OPTIONS}

    @classmethod
    def option_problems(cls, options: Options, given: Options, updates: int | None) -> list[str]:
        """What is wrong with options that are each in their range, one line per problem.

        Args:
            options: with the defaults of the method.
            given: those that the user gave.
            updates: of the whole training, where --max-update says it.
        """
        return []

    def initial_logits(self, inventory: Inventory) -> Tensor:
        """Logits [H], float64, whose top-K is the uniform choice for every K."""
        return uniform_logits(inventory, UNIFORM_PRIOR)

    @property
    def search_updates(self) -> int | None:
        """Updates until the choice is final, where the method has such a point and knows it."""
        return None

    def planned(self, search: int) -> "Method":
        """The same method with its search ending at update ``search``, if it has a search."""
        return self

    def problems(self, length: int) -> list[str]:
        """What keeps a training of so many updates from choosing heads as planned, one line each."""
        return []

    def settled(self, update: int) -> bool:
        """Whether training uses, from this update on, the very mask that decodes."""
        return True

    def open_amount(self, update: int) -> int | None:
        """The amount that is open in training at this update; None: a matter of chance."""
        return self.keep

    def temperature(self, update: int) -> float | None:
        """Temperature of the relaxation, None where there is none."""
        return None

    def noise(self, size: int, generator: torch.Generator) -> Tensor:
        """The noise that the gates of an update are drawn with: [size], float64."""
        return gumbel_noise(size, generator)

    def penalty(self, logits: Tensor, pool: Pool) -> Tensor | None:
        """What an update adds to the loss per unit of its sample size, with gradient; None: nothing."""
        return None

    def gates(self, logits: Tensor, update: int, noise: Tensor, pool: Pool) -> Tensor:
        """Gates [N] of the units of a pool, float64, with gradient to the logits; called while not settled."""
        raise AssertionError("a settled method has no gates to sample")

    def noise_level(self, update: int) -> float:
        """Scale of the noise that the choice is made under, in units of the logits."""
        return 1.0

    def inclusion(self, logits: Tensor, update: int, pool: Pool) -> Floats:
        """Probability [H] that each head is in the subset, float64; called while not settled."""
        return inclusion(logits.numpy(), self.keep, self.noise_level(update), pool)


def temperature_problems(options: Options, given: Options) -> list[str]:
    """A line when the temperature would rise."""
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
