"""The gates of one model: its logits, the sample of an update, the mask that decodes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any, Self

import torch
from torch import Tensor, nn

from ..errors import refuse
from ..structures.inventory import Inventory
from .choice import Choice
from .hard_concrete import open_probability
from .limits import Limits
from .logit_adam import LogitAdam
from .methods import Method
from .stored_mask import StoredMask, logits_by_structure, mask_entries, stored_mask

_DRAWS_APART = 500_009  # seed of the K of an update, beside that of its noise


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
        keep_range: (lowest, highest) K; every update of the training draws its own. None: always K.
    """

    logits: Tensor
    search: Tensor  # update at which the choice is final; 0: unknown
    length: Tensor  # of the training that this was planned for; 0: unknown

    def __init__(
        self,
        inventory: Inventory,
        choice: Choice,
        methods: Sequence[Method],
        rate: float,
        seed: int,
        keep_range: tuple[int, int] | None = None,
    ):
        super().__init__()
        self.keep_range = keep_range
        self.inventory = inventory
        self.choice = choice
        self._unplanned = self.methods = tuple(methods)
        self.seed = seed
        self.update = 0
        self.register_buffer("logits", self.method.initial_logits(inventory))
        self._start = self.logits.clone()  # some methods start at random
        self.kept = StoredMask(inventory)
        self.logits.requires_grad_(self.method.learns)
        self.adam = LogitAdam(inventory.units, rate, self.method.pooled, choosable=choice.choosable)
        for name in ("search", "length"):
            self.register_buffer(name, torch.zeros((), dtype=torch.float64))
        self._sample_size = 0.0
        self._drawn: tuple[Tensor, Tensor] | None = None  # the sample of this update, and its leaf
        self._end_search_at(self.method.search_updates)
        self._store_mask()

    def set_logits(self, logits: Tensor) -> None:
        """Give all units new logits [H]; the mask that decodes follows them."""
        self.logits.data.copy_(logits)
        self._store_mask()

    def set_choice(self, choice: Choice) -> None:
        """Change budgets and limits; the mask that decodes follows them."""
        self.choice = choice
        self._store_mask()

    def _store_mask(self) -> None:
        self.kept.store(self.choice.mask(self.logits.detach()))

    @property
    def method(self) -> Method:
        """Of the first share; schedules are the same for all."""
        return self.methods[0]

    @property
    def _has_a_say(self) -> bool:
        """Whether the order of the logits decides anything: not where all heads are kept whatever it is."""
        return self.keep_range is not None or any(m.open_amount(0) is None or m.keep < m.total for m in self.methods)

    def choosing(self, update: int) -> bool:
        """Whether a search goes on at this update, as far as its end is known."""
        return self.method.searches and not 0 < self.search <= update

    def plan(self, update: int, left: int, share: float, length: int) -> None:
        """End the search when the user says, else after a share of the updates of the training.

        A restarted training keeps its plan, unless its length is another one and the search is not over.

        Args:
            update: that is about to begin. At 0 the training, and with it the search, begins.
            left: updates from then on.
            length: of the whole training, as its options and data say.

        Raises BadInput when the choice would never be final, or final before its warm-up is over.
        """
        if not self.choosing(update):
            return
        said, search, length_before = self._unplanned[0].search_updates, float(self.search), float(self.length)
        self.length.fill_(length)
        if update and search and length_before in (0, length):
            return
        if said is None:
            if left < 1:
                refuse(
                    [
                        f"the choice of heads is not final at update {update}, where this training ends; train longer "
                        "(--max-update, --max-epoch)"
                    ]
                )
            search = max(1, round(share * (update + left)))
            if search <= update:  # planned for a longer training
                search = update + max(1, round(share * left))
        self._end_search_at(said or search)
        refuse(self.method.problems(update + left))

    def _end_search_at(self, search: float | None) -> None:
        if self.method.searches and search:
            self.search.fill_(search)
            # rounded: the mean of several checkpoints may be a hair off
            self.methods = tuple(method.planned(round(search)) for method in self._unplanned)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._drawn = None
        self._end_search_at(self._unplanned[0].search_updates or float(self.search))

    def upgrade_state_dict_named(self, state_dict: dict[str, Tensor], name: str) -> None:
        """Fill in what a checkpoint of the stock model, or of an older version, lacks."""
        logits, prefix = state_dict.get(f"{name}.logits"), f"{name}."
        own = {key.removeprefix(prefix): value for key, value in state_dict.items() if key.startswith(prefix)}
        if logits is not None and logits.shape != self.logits.shape:
            fitting = logits_by_structure(own, self._start, self.inventory)
            if fitting is not None:  # of a model whose gates are on other structures
                for key in own:
                    del state_dict[prefix + key]
                state_dict[f"{name}.logits"] = logits = fitting
                own = {"logits": fitting}
        if logits is not None and logits.shape == self.logits.shape:
            mask = mask_that_decodes(own, self.inventory, self.choice)
            state_dict.update({prefix + key: value for key, value in mask_entries(mask, self.inventory).items()})
        for key, value in self.state_dict(prefix=f"{name}.").items():
            state_dict.setdefault(key, value.clone())

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Neither moved nor cast with the model."""
        return self

    def set_num_updates(self, update: int) -> None:
        """fairseq's update counter: schedules and noise depend on it alone, so they resume."""
        if update != self.update:
            self._drawn = None
        self.update = update
        if update == 0:  # a training begins, from a checkpoint perhaps: its choice, if it makes one, is a new one
            if self._has_a_say:
                self.set_logits(self._start)
            self.adam.restart()
            if not self.method.searches:
                self.search.zero_()
                self.length.zero_()

    def mask(self) -> Tensor:
        """The mask that decodes: bool [H], exactly K True."""
        mask = self.kept.read()
        return self.choice.mask(self.logits.detach()) if mask is None else mask

    def mask_of_update(self) -> Tensor:
        """The mask [H] that settled training runs under: that which decodes, or that of the K drawn."""
        if self.keep_range is None:
            return self.mask()
        return self.choice.with_keep(self._drawn_keep(self.keep_range)).mask(self.logits)

    def _drawn_keep(self, bounds: tuple[int, int]) -> int:
        low, high = bounds
        return int(torch.randint(low, high + 1, (), generator=self._generator(_DRAWS_APART)))

    @property
    def _methods_now(self) -> Sequence[Method]:
        if self.keep_range is None:
            return self.methods
        keep = self._drawn_keep(self.keep_range)
        return [replace(method, keep=keep) for method in self.methods]

    @property
    def settled(self) -> bool:
        """Whether training runs under a hard mask, :meth:`mask_of_update`."""
        return self.method.settled(self.update)

    @property
    def open_counts(self) -> dict[str, int]:
        """Heads and hidden units that are open now, by structure: by the budgets of this update, or those that decode.

        Where a budget counts parameters, or gates are independent, they are those of the sample of this update and of
        the mask that decodes.
        """
        mask = self.mask()
        counts = self._counts_of(mask)
        amounts = [method.open_amount(self.update) for method in self._methods_now]
        if not self.training or None in amounts:
            return counts
        if self._drawn is not None and not self.settled:
            counts = self._counts_of(self._drawn[0].detach() > 0.5)
        elif not self.settled:
            counts = self._counts_of(torch.ones_like(mask))
        in_units: dict[str, int] = {}
        for share, amount in zip(self.choice.shares, amounts, strict=True):
            if isinstance(share.limits, Limits) and amount is not None:
                structure = share.limits.structure
                in_units[structure] = in_units.get(structure, 0) + amount * share.limits.count
        return {**counts, **in_units}

    def _counts_of(self, mask: Tensor) -> dict[str, int]:
        """Heads and hidden units that are True in a mask, bool [units]."""
        counts = dict.fromkeys(self.inventory.structures, 0)
        for block, piece in zip(self.inventory.blocks, self.per_block(mask), strict=True):
            counts[block.structure] += int(piece.sum()) * block.count
        return counts

    @property
    def temperature(self) -> float | None:
        return None if self.settled else self.method.temperature(self.update)

    def sample(self) -> Tensor | None:
        """Gates [H], float64, of this update, with gradient to the logits; None: all are open.

        The noise depends on seed and update only: one sample for all batches and processes of an
        update, and the same one after a restart.
        """
        methods = self._methods_now
        if all(method.open_amount(self.update) == method.total for method in methods):
            return None
        noise = self.method.noise(self.inventory.units, self._generator())
        pieces = zip(methods, self.choice.shares, self.choice.cut(self.logits), self.choice.cut(noise), strict=True)
        return torch.cat(
            [method.gates(logits, self.update, own, share.limits) for method, share, logits, own in pieces]
        )

    def of_update(self, device: torch.device) -> Tensor | None:
        """Gates [H], float32, on ``device``, that every batch of this update uses; None: all are open.

        The sample cut off from the logits: :meth:`step` passes on the gradient that has gathered
        here, once an update, however many batches and backward passes it had (activation checkpointing
        has one for every layer).
        """
        if self._drawn is None:
            sample = self.sample()
            if sample is None:
                return None
            leaf = sample.detach().to(device, torch.float32).requires_grad_(sample.requires_grad)
            self._drawn = (sample, leaf)
        return self._drawn[1]

    def gradient(self) -> Tensor | None:
        """Of the losses of this update so far, summed, with respect to the logits: [H]; None: there is none."""
        sample, leaf = self._drawn or (None, None)
        if sample is not None and leaf is not None and leaf.grad is not None:
            self._drawn = None
            if leaf.grad.isfinite().all():
                torch.autograd.backward(sample, leaf.grad.to(sample))
            else:  # an overflow: the step sees it and is left out, by all processes
                self.logits.grad = torch.full_like(self.logits, float("inf"))
        return self.logits.grad

    def __getstate__(self) -> dict[str, Any]:
        # a copy (fairseq's EMA) draws its own
        return {**self.__dict__, "_drawn": None}

    def penalty(self) -> Tensor | None:
        """What the loss pays for open heads, per unit of sample size, with gradient; None: nothing."""
        pieces = zip(self.methods, self.choice.shares, self.choice.cut(self.logits), strict=True)
        prices = [method.penalty(logits, share.limits) for method, share, logits in pieces]
        known = [price for price in prices if price is not None]
        return reduce(torch.add, known) if len(known) == len(prices) else None

    @property
    def expected_heads(self) -> float:
        """Heads of the whole model that hard-concrete gates leave open, on average."""
        fixed = torch.cat([share.limits.fixed_units for share in self.choice.shares])
        return float(open_probability(self.logits.detach()).masked_fill(fixed, 1.0).sum())

    def _generator(self, offset: int = 0) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed * 1_000_003 + self.update + offset)

    def begin_update(self) -> None:
        """Forget gradients left from an update that was given up (fp16 overflow)."""
        self.logits.grad = self._drawn = None
        self._sample_size = 0.0

    def add_sample_size(self, sample_size: float) -> None:
        """The losses summed in this update have this unit: the gradient is divided by their sum."""
        self._sample_size += float(sample_size)

    def step(self, loss_scale: float = 1.0, all_reduce: Callable[[Tensor], Tensor] | None = None) -> None:
        """One step of the logits; ``all_reduce`` sums a tensor over processes in place."""
        gradient = self.gradient()
        if gradient is None:
            self.begin_update()
            return
        # [H] and [1] -> [H + 1]
        total = torch.cat([gradient, self.logits.new_tensor([self._sample_size])])
        if all_reduce is not None:
            total = all_reduce(total)
        if not total.isfinite().all():  # an overflow, which mixed precision lives with
            self.begin_update()
            return
        self.adam.step(self.logits, total[:-1] / (total[-1] or 1.0) / loss_scale)
        self._store_mask()
        self.begin_update()

    def per_block(self, flat: Tensor) -> list[Tensor]:
        """A flat tensor [H] cut into one tensor [heads] per block."""
        return list(torch.split(flat, self.inventory.sizes))


def mask_that_decodes(weights: Mapping[str, Tensor], inventory: Inventory, choice: Choice) -> Tensor:
    """The mask, bool [H], of gates in a state dict (names without their prefix).

    It is the stored one, unless the choice wants another number of units (``--model-overrides``) or the file is of a
    version that stored none: then that of the logits.
    """
    stored = stored_mask(weights, inventory)
    return stored if stored is not None and choice.accepts(stored) else choice.mask(weights["logits"].detach())
