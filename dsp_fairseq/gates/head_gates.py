"""The gates of one model: its logits, the sample of an update, the mask that decodes."""

from typing import List, Optional, Sequence

import torch
from torch import Tensor, nn

from ..inventory import Inventory
from .choice import Choice
from .logit_adam import LogitAdam
from .methods import Method
from .subset import gumbel_noise


class HeadGates(nn.Module):
    """Importance logits [H] and what follows from them.

    The logits and their Adam moments are buffers, float64, on the CPU, whatever the model's type
    and device: sampling is sequential and small. They are saved with the model.

    Args:
        inventory: the blocks of the model, H heads.
        choice: budgets and limits; every share is chosen by a method of its own.
        methods: of each share; they differ in their counts only.
        rate: learning rate of the logits.
        seed: of the noise.
    """

    def __init__(
        self, inventory: Inventory, choice: Choice, methods: Sequence[Method], rate: float, seed: int
    ):
        super().__init__()
        self.inventory = inventory
        self.choice = choice
        self._unplanned = self.methods = tuple(methods)
        self.seed = seed
        self.update = 0
        self.register_buffer("logits", self.method.initial_logits(inventory))
        self.logits.requires_grad_(self.method.learns)
        self.adam = LogitAdam(inventory.heads, rate, self.method.pooled)
        # update at which the choice is final; 0 while unknown
        self.register_buffer("search", torch.zeros((), dtype=torch.float64))
        self._planned_search = 0
        self._sample_size = 0.0
        if self.method.search_updates:
            self.plan(self.method.search_updates)

    @property
    def method(self) -> Method:
        """Of the first share; schedules are the same for all."""
        return self.methods[0]

    def plan(self, search: int) -> None:
        """End the search at this update, unless the user or a loaded checkpoint has said when."""
        self._planned_search = self._unplanned[0].search_updates or search
        if not self.search:
            self._end_search_at(self._planned_search)

    def _end_search_at(self, search: float) -> None:
        if self.method.searches:
            self.search.fill_(search)
            self.methods = tuple(method.planned(int(search)) for method in self._unplanned)

    def _load_from_state_dict(self, *args, **kwargs):
        super()._load_from_state_dict(*args, **kwargs)
        if self.search:
            self._end_search_at(float(self.search))

    def upgrade_state_dict_named(self, state_dict, name):
        """Fill in what a checkpoint of the stock transformer lacks."""
        for key, value in self.state_dict(prefix=f"{name}.").items():
            state_dict.setdefault(key, value.clone())

    def _apply(self, fn, recurse=True):
        """Neither moved nor cast with the model."""
        return self

    def set_num_updates(self, update: int) -> None:
        """fairseq's update counter: schedules and noise depend on it alone, so they resume."""
        self.update = update
        if update == 0:  # a training begins, from a checkpoint perhaps: its search is a new one
            self.adam.restart()
            if self._planned_search:
                self._end_search_at(self._planned_search)

    def mask(self) -> Tensor:
        """The mask that decodes: bool [H], exactly K True."""
        return self.choice.mask(self.logits)

    @property
    def settled(self) -> bool:
        """Whether training runs under exactly :meth:`mask`."""
        return self.method.settled(self.update)

    @property
    def heads_kept(self) -> int:
        """Heads open now: the budget of this update in training, K at evaluation."""
        if not self.training:
            return self.choice.keep
        return sum(method.open_heads(self.update) for method in self.methods)

    @property
    def temperature(self) -> Optional[float]:
        return None if self.settled else self.method.temperature(self.update)

    def sample(self) -> Optional[Tensor]:
        """Gates [H], float64, of this update, with gradient to the logits; None: all are open.

        The noise depends on seed and update only: one sample for all batches and processes of an
        update, and the same one after a restart.
        """
        if all(method.open_heads(self.update) == method.heads for method in self.methods):
            return None
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.update)
        noise = gumbel_noise(self.inventory.heads, generator)
        pieces = zip(self.methods, self.choice.shares, self.choice.cut(self.logits), self.choice.cut(noise))
        return torch.cat(
            [method.gates(logits, self.update, own, share.limits) for method, share, logits, own in pieces]
        )

    def begin_update(self) -> None:
        """Forget gradients left from an update that was given up (fp16 overflow)."""
        self.logits.grad = None
        self._sample_size = 0.0

    def add_sample_size(self, sample_size: float) -> None:
        """The losses summed in this update have this unit: the gradient is divided by their sum."""
        self._sample_size += float(sample_size)

    def step(self, loss_scale: float = 1.0, all_reduce=None) -> None:
        """One step of the logits; ``all_reduce`` sums a tensor over processes in place."""
        if self.logits.grad is None:
            return
        # [H] and [1] -> [H + 1]
        total = torch.cat([self.logits.grad, self.logits.new_tensor([self._sample_size])])
        if all_reduce is not None:
            total = all_reduce(total)
        if not total.isfinite().all():  # an overflow, which mixed precision lives with
            self.begin_update()
            return
        self.adam.step(self.logits, total[:-1] / (total[-1] or 1.0) / loss_scale)
        self.begin_update()

    def per_block(self, flat: Tensor) -> List[Tensor]:
        """A flat tensor [H] cut into one tensor [heads] per block."""
        return list(flat.split(self.inventory.sizes))
