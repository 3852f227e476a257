"""What each pruning method does at an update: which gates, which temperature, when it has settled.

A method is a small immutable object; the logits belong to the caller. H = heads of the model,
K = heads to keep, update = fairseq's update counter.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..structures.inventory import Inventory, uniform_order
from .hard_concrete import hard_concrete, logistic_noise, open_probability
from .inclusion import inclusion
from .limits import Limits
from .schedules import anneal_temperature, head_budget, noise_scale
from .subset import gumbel_noise, gumbel_soft_top_k, straight_through_gumbel_top_k, straight_through_top_k

UNIFORM_PRIOR = 4.0  # step from one head of a block to the next, in the logits at the start
WARM_UP_SHARE = 0.35  # of the search: updates with all heads open


@dataclass(frozen=True)
class Method:
    """The mask is fixed from the first update: ``uniform``, and ``none`` with K = H."""

    heads: int  # of the share that the method chooses from
    keep: int  # of those, at evaluation

    learns = False  # whether the logits move
    searches = False  # whether the choice is final at some update
    pooled = False  # whether all logits share one second moment (see LogitAdam)

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

    def open_heads(self, update: int) -> int | None:
        """Heads open in training at this update; None: a matter of chance."""
        return self.keep

    def temperature(self, update: int) -> float | None:
        """Temperature of the relaxation, None where there is none."""
        return None

    def noise(self, size: int, generator: torch.Generator) -> Tensor:
        """What an update's gates are drawn with: [size], float64."""
        return gumbel_noise(size, generator)

    def penalty(self, logits: Tensor, limits: Limits) -> Tensor | None:
        """What an update adds to the loss per unit of its sample size, with gradient; None: nothing."""
        return None

    def gates(self, logits: Tensor, update: int, noise: Tensor, limits: Limits) -> Tensor:
        """Gates [H], float64, with gradient to the logits; called while not settled."""
        raise AssertionError("a settled method has no gates to sample")

    def noise_level(self, update: int) -> float:
        """Scale of the noise that the choice is made under, in units of the logits."""
        return 1.0

    def inclusion(self, logits: Tensor, update: int, limits: Limits) -> np.ndarray:
        """Probability [H] that each head is in the subset, float64; called while not settled."""
        return inclusion(logits.numpy(), self.keep, self.noise_level(update), limits)


@dataclass(frozen=True)
class StraightThrough(Method):
    """``ste``: hard top-K of the logits forward, identity backward; no noise, no temperature.

    How undecided it is, is said for noise of scale 1, as if it were DSP.
    """

    learns = True

    def initial_logits(self, inventory: Inventory) -> Tensor:
        return published_logits(inventory)

    def settled(self, update: int) -> bool:
        return False

    def gates(self, logits: Tensor, update: int, noise: Tensor, limits: Limits) -> Tensor:
        return straight_through_top_k(logits, self.keep, limits)


@dataclass(frozen=True)
class PublishedDsp(Method):
    """``dsp-published``: relaxed gates under noise to the end, temperature falling (TACL 2021)."""

    initial_temperature: float
    final_temperature: float
    cooldown: int

    learns = True

    def initial_logits(self, inventory: Inventory) -> Tensor:
        return published_logits(inventory)

    def settled(self, update: int) -> bool:
        return False

    def temperature(self, update: int) -> float:
        return anneal_temperature(update, self.initial_temperature, self.final_temperature, self.cooldown)

    def gates(self, logits: Tensor, update: int, noise: Tensor, limits: Limits) -> Tensor:
        return gumbel_soft_top_k(logits, self.keep, self.temperature(update), noise, limits, bounded=True)


@dataclass(frozen=True)
class CommittedDsp(Method):
    """``dsp``: DSP with commitment and budget schedule, the default.

    All heads are open while the weights warm up; then the number of open heads falls to K while the
    choice is learned by straight-through sampling under fading noise; at the end of the search the
    mask is the top-K of the logits and the weights train on under it.
    """

    initial_temperature: float
    final_temperature: float
    cooldown: int | None  # None: the search's length
    search: int | None  # None until planned
    warm_up: int | None  # None: WARM_UP_SHARE of the search
    prior: float

    learns = True
    pooled = True
    searches = True

    @property
    def search_updates(self) -> int | None:
        return self.search

    def planned(self, search: int) -> "CommittedDsp":
        return replace(
            self,
            search=search,
            warm_up=round(WARM_UP_SHARE * search) if self.warm_up is None else self.warm_up,
            cooldown=search if self.cooldown is None else self.cooldown,
        )

    def problems(self, length: int) -> list[str]:
        problems = []
        if self.search > length:
            problems.append(
                f"--search-updates {self.search}: the training ends before, after {length} updates, so the choice is "
                "never final; say fewer, or train longer (--max-update, --max-epoch)"
            )
        if self.warm_up >= self.search:
            problems.append(
                f"--search-warmup-updates {self.warm_up}: must be below the {self.search} updates of the search "
                "(--search-updates, or a share of the planned updates)"
            )
        return problems

    def initial_logits(self, inventory: Inventory) -> Tensor:
        return uniform_logits(inventory, self.prior)

    def settled(self, update: int) -> bool:
        return self.search is not None and update >= self.search

    def open_heads(self, update: int) -> int:
        if self.search is None:
            return self.heads
        return head_budget(update, self.heads, self.keep, self.warm_up, self.search)

    def temperature(self, update: int) -> float:
        return anneal_temperature(update, self.initial_temperature, self.final_temperature, self.cooldown)

    def noise_level(self, update: int) -> float:
        return 1.0 if self.search is None else noise_scale(update, self.warm_up, self.search)

    def gates(self, logits: Tensor, update: int, noise: Tensor, limits: Limits) -> Tensor:
        count = self.open_heads(update)
        noise = noise * self.noise_level(update)
        return straight_through_gumbel_top_k(logits, count, self.temperature(update), noise, limits)


@dataclass(frozen=True)
class L0(Method):
    """``l0``: independent hard-concrete gates; the loss pays for every head that is probably open.

    Voita et al. (ACL 2019), section 5. The logits are the log-odds of the gates.
    """

    price: float  # of one expected open head, in the loss per target token (nats)
    initial: float  # log-odds at the start

    learns = True

    def initial_logits(self, inventory: Inventory) -> Tensor:
        return torch.full((inventory.units,), self.initial, dtype=torch.float64)

    def settled(self, update: int) -> bool:
        return False

    def open_heads(self, update: int) -> int | None:
        return None

    def noise(self, size: int, generator: torch.Generator) -> Tensor:
        return logistic_noise(size, generator)

    def gates(self, logits: Tensor, update: int, noise: Tensor, limits: Limits) -> Tensor:
        return hard_concrete(logits, noise).masked_fill(limits.fixed_heads, 1.0)

    def inclusion(self, logits: Tensor, update: int, limits: Limits) -> np.ndarray:
        """That its gate is above a half, which is sigmoid(log-odds); gates are independent, whatever K."""
        return torch.sigmoid(logits).masked_fill(limits.fixed_heads, 1.0).numpy()

    def penalty(self, logits: Tensor, limits: Limits) -> Tensor:
        return self.price * open_probability(logits).masked_fill(limits.fixed_heads, 0.0).sum()


def uniform_logits(inventory: Inventory, step: float) -> Tensor:
    """Logits [H] that fall by ``step`` from one head of a block to its next.

    Heads of one block are interchangeable before training, and a second head of a block adds less
    than a first: so the start says how many heads a block gets, and the search corrects it. Within
    a round the order of ``uniform_order`` decides, by a thousandth of the step.
    """
    order = uniform_order(inventory)
    logits = torch.empty(inventory.units, dtype=torch.float64)
    within = torch.tensor([head for block in inventory.blocks for head in range(block.units)])
    for place, head in enumerate(order):
        logits[head] = -step * (float(within[head]) + 1e-3 * place / len(order))
    return logits


def published_logits(inventory: Inventory) -> Tensor:
    """Random logits [H] as the published code draws them: Xavier uniform over [blocks, heads]."""
    bound = math.sqrt(6.0 / (len(inventory.blocks) + inventory.units / len(inventory.blocks)))
    return torch.empty(inventory.units, dtype=torch.float64).uniform_(-bound, bound)
