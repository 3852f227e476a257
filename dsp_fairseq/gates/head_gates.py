"""The gates of one model: its logits, the sample of an update, the mask that decodes."""

from typing import List, Optional

import torch
from torch import Tensor, nn

from ..inventory import Inventory
from .limits import Limits
from .logit_adam import LogitAdam
from .methods import Method
from .subset import gumbel_noise


class HeadGates(nn.Module):
    """Importance logits [H] and what follows from them.

    The logits and their Adam moments are buffers, float64, on the CPU, whatever the model's type
    and device: sampling is sequential and small. They are saved with the model.
    """

    def __init__(
        self,
        inventory: Inventory,
        method: Method,
        rate: float,
        seed: int,
        max_heads_per_block: Optional[int] = None,
    ):
        super().__init__()
        self.inventory = inventory
        self.limits = Limits(tuple(inventory.sizes), max_heads_per_block)
        self._unplanned = method
        self.method = method
        self.seed = seed
        self.update = 0
        self.register_buffer("logits", method.initial_logits(inventory))
        self.logits.requires_grad_(method.learns)
        self.adam = LogitAdam(inventory.heads, rate, method.pooled)
        # update at which the choice is final; 0 while unknown
        self.register_buffer("search", torch.zeros((), dtype=torch.float64))
        self._planned_search = 0
        self._sample_size = 0.0
        if method.search_updates:
            self.plan(method.search_updates)

    def plan(self, search: int) -> None:
        """End the search at this update, unless the user or a loaded checkpoint has said when."""
        self._planned_search = self._unplanned.search_updates or search
        if not self.search:
            self._end_search_at(self._planned_search)

    def _end_search_at(self, search: float) -> None:
        if self.method.searches:
            self.search.fill_(search)
            self.method = self._unplanned.planned(int(search))

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
        return self.limits.mask(self.logits, self.method.keep)

    @property
    def settled(self) -> bool:
        """Whether training runs under exactly :meth:`mask`."""
        return self.method.settled(self.update)

    @property
    def heads_kept(self) -> int:
        """Heads open now: the budget of this update in training, K at evaluation."""
        return self.method.open_heads(self.update) if self.training else self.method.keep

    @property
    def temperature(self) -> Optional[float]:
        return None if self.settled else self.method.temperature(self.update)

    def sample(self) -> Optional[Tensor]:
        """Gates [H], float64, of this update, with gradient to the logits; None: all are open.

        The noise depends on seed and update only: one sample for all batches and processes of an
        update, and the same one after a restart.
        """
        if self.method.open_heads(self.update) == self.inventory.heads:
            return None
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.update)
        noise = gumbel_noise(self.inventory.heads, generator)
        return self.method.gates(self.logits, self.update, noise, self.limits)

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
