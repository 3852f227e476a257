"""The gates of one model: the logits, the gates sampled for each update, and the mask that decodes."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any, Self

import torch
from torch import Tensor, nn

from ..errors import refuse
from ..structures.heads import HEADS
from ..structures.inventory import Inventory
from .choice import Choice, Share
from .expected_cost import all_ascended, chances, chances_of_layers, lagrangian
from .loading import completed
from .logit_adam import LogitAdam
from .methods import Method
from .schedules import end_of_search
from .stored_mask import StoredMask

_CLOSED = 1e-6  # a layer whose gate is not above this is closed
_SEED_OFFSET_OF_K = 500_009  # so that the K of an update and its noise are drawn from different seeds


class Gates(nn.Module):
    """Importance logits [H] of all prunable units of a model, the gates drawn from them, and the mask that decodes.

    The logits and their Adam moments are float64 buffers that stay on the CPU, whatever the type and device of the
    model, because sampling takes many small sequential steps. They are saved with the model.

    Args:
        inventory: the blocks of the model, with H units in all.
        choice: budgets and limits.
        methods: one method per share of the choice; they differ only in their numbers of units.
        rate: learning rate of the logits.
        seed: seed of the noise.
        keep_range: lowest and highest K, when every training update draws its own K; None when K is the same always.
    """

    logits: Tensor
    multipliers: Tensor | None  # [shares, 2], of the Lagrangians of constrained methods
    search: Tensor  # the update at which the choice becomes final; 0 when it is not known
    length: Tensor  # number of updates of the training that `search` was planned for; 0 when it is not known

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
        self._methods_as_given = self.methods = tuple(methods)
        self.seed = seed
        self.update = 0
        self.register_buffer("logits", self.method.initial_logits(inventory))
        self._start = self.logits.clone()  # kept, because some methods draw their initial logits at random
        self.kept = StoredMask(inventory)
        self.logits.requires_grad_(self.method.learns)
        # the gradient of a layer's gate is larger than that of a head by orders of magnitude
        groups = [sum(s.units for s in choice.shares if s.nests is nests) for nests in (False, True)]
        self.adam = LogitAdam(
            inventory.units,
            rate,
            self.method.pooled,
            choosable=choice.choosable,
            groups=groups if choice.holders else None,
        )
        for name in ("search", "length"):
            self.register_buffer(name, torch.zeros((), dtype=torch.float64))
        multipliers = torch.zeros(len(self.methods), 2, dtype=torch.float64) if self.method.constrained else None
        self.register_buffer("multipliers", multipliers)
        self._sample_size = 0.0
        self._drawn: tuple[Tensor, Tensor] | None = None  # the gates of this update and their detached copy
        self._end_search_at(self.method.search_updates)
        self._store_mask()

    def set_logits(self, logits: Tensor) -> None:
        """Replace the logits [H], and recompute the mask that decodes."""
        self.logits.data.copy_(logits)
        self._store_mask()

    def set_choice(self, choice: Choice) -> None:
        """Replace budgets and limits, and recompute the mask that decodes."""
        self.choice = choice
        self._store_mask()

    def _store_mask(self) -> None:
        self.kept.store(self.choice.mask(self.logits.detach()))

    @property
    def method(self) -> Method:
        """The method of the first share, whose schedule is that of all shares."""
        return self.methods[0]

    @property
    def _logits_decide(self) -> bool:
        """Whether the logits decide which units are kept; they do not where all units are kept."""
        return self.keep_range is not None or any(m.open_amount(0) is None or m.keep < m.total for m in self.methods)

    def searching(self, update: int) -> bool:
        """Whether this update belongs to a search, as far as the end of the search is known."""
        return self.method.searches and not 0 < self.search <= update

    def plan_search(self, update: int, left: int, share: float, length: int) -> None:
        """Set the update at which the search ends: the user's number, or a share of the updates of the training.

        A restarted training keeps the planned end, unless the training has another length now and the search is
        still going on.

        Args:
            update: number of the update that is about to begin; a training and its search begin at update 0.
            left: number of updates from this one to the end of the training.
            share: share of the updates that the search takes where the user gave no number.
            length: number of updates of the whole training, according to its options and data.

        Raises:
            BadInput: the choice would never be final, or it would be final before the warm-up is over.
        """
        if not self.searching(update):
            return
        given, search, length_before = self._methods_as_given[0].search_updates, float(self.search), float(self.length)
        self.length.fill_(length)
        if update and search and length_before in (0, length):
            return
        if given is None:
            if left < 1:
                refuse(
                    [
                        f"the choice of {self.inventory.noun} is not final at update {update}, where this training "
                        "ends; train longer (--max-update, --max-epoch)"
                    ]
                )
            search = end_of_search(update, left, share)
        self._end_search_at(given or search)
        refuse(self.method.problems(update + left))

    def _end_search_at(self, search: float | None) -> None:
        if self.method.searches and search:
            self.search.fill_(search)
            # rounded, because the mean over several checkpoints may differ from a whole number by rounding
            self.methods = tuple(method.with_search(round(search)) for method in self._methods_as_given)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._drawn = None
        self._end_search_at(self._methods_as_given[0].search_updates or float(self.search))

    def upgrade_state_dict_named(self, state_dict: dict[str, Tensor], name: str) -> None:
        """Fill in the entries that a checkpoint of a stock model or of an older version lacks."""
        prefix = f"{name}."
        there = {key: state_dict.pop(key) for key in [key for key in state_dict if key.startswith(prefix)]}
        there = {key.removeprefix(prefix): value for key, value in there.items()}
        found = completed(there, self.state_dict(), self._start, self.inventory, self.choice)
        state_dict.update({prefix + key: value for key, value in found.items()})

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Change nothing, so that the buffers are neither moved nor cast with the model."""
        return self

    def set_num_updates(self, update: int) -> None:
        """Take fairseq's update counter, on which alone schedules and noise depend, so that a restart repeats them."""
        if update != self.update:
            self._drawn = None
        self.update = update
        if update == 0:  # a training begins, perhaps from a checkpoint: forget the choice that the checkpoint had
            if self._logits_decide:
                self.set_logits(self._start)
            self.adam.restart()
            if self.multipliers is not None:
                self.multipliers.zero_()
            if not self.method.searches:
                self.search.zero_()
                self.length.zero_()

    def mask(self) -> Tensor:
        """The mask that decodes: bool [H], exactly K True."""
        mask = self.kept.read()
        return self.choice.mask(self.logits.detach()) if mask is None else mask

    def mask_of_update(self) -> Tensor:
        """The mask, bool [H], of a settled update: the mask that decodes, or that of the K drawn for the update."""
        if self.keep_range is None:
            return self.mask()
        return self.choice.with_keep(self._drawn_keep(self.keep_range)).mask(self.logits)

    def _drawn_keep(self, bounds: tuple[int, int]) -> int:
        low, high = bounds
        return int(torch.randint(low, high + 1, (), generator=self._generator(_SEED_OFFSET_OF_K)))

    @property
    def _methods_of_update(self) -> Sequence[Method]:
        """The methods with the K of this update."""
        if self.keep_range is None:
            return self.methods
        keep = self._drawn_keep(self.keep_range)
        return [replace(method, keep=keep) for method in self.methods]

    @property
    def settled(self) -> bool:
        """Whether this update trains under a hard mask, :meth:`mask_of_update`, instead of sampled gates."""
        return self.method.settled(self.update)

    @property
    def open_counts(self) -> dict[str, int]:
        """Numbers of open heads, hidden units and layers, by structure.

        In training they are the numbers that the methods open at this update, at evaluation those that decode. Where
        a budget counts parameters, they are the numbers in the sample of this update. Independent gates are open by
        chance: for them they are the numbers that would decode, in training too.
        """
        methods = self._methods_of_update
        shares: Sequence[Share] = self.choice.shares
        if self.choice.holders and self._drawn is not None:
            methods, shares = self.narrowed(methods, self._drawn[0].detach())
        amounts = [method.open_amount(self.update) for method in methods]
        if not self.training or None in amounts or (self.choice.holders and self.settled):
            return self._counts_of(self.mask())
        counts: dict[str, int] = {}
        for share, amount in zip(shares, amounts, strict=True):
            known = None if amount is None else share.pool.by_structure(amount)
            if known is None:
                return self._counts_of(self._mask_of_sample())
            counts.update({structure: counts.get(structure, 0) + count for structure, count in known.items()})
        return counts

    def _mask_of_sample(self) -> Tensor:
        """The units that are open in the sample of this update, bool [H]."""
        if self.settled:
            return self.mask()
        if self._drawn is None:
            return torch.ones(self.inventory.units, dtype=torch.bool)
        return self._drawn[0].detach() > 0.5

    def _counts_of(self, mask: Tensor) -> dict[str, int]:
        """Numbers of heads, hidden units and layers, by structure, that are True in a mask, bool [H]."""
        counts = dict.fromkeys(self.inventory.structures, 0)
        for block, piece in zip(self.inventory.blocks, self.per_block(mask), strict=True):
            counts[block.structure] += int(piece.sum()) * block.count
        return counts

    @property
    def temperature(self) -> float | None:
        """Temperature of the relaxation at this update; None where no relaxation is sampled."""
        return None if self.settled else self.method.temperature(self.update)

    def sample(self) -> Tensor | None:
        """Draw the gates [H] of this update, float64, with gradient to the logits; None when all units are open.

        The noise depends on the seed and the number of the update only, so all batches and processes of an update
        draw the same gates, and a restarted training draws them again.
        """
        methods = self._methods_of_update
        if all(method.open_amount(self.update) == method.total for method in methods):
            return None
        noise = self.method.noise(self.inventory.units, self._generator())
        shares: Sequence[Share] = self.choice.shares
        if self.choice.holders:
            methods, shares = self.narrowed(methods, self._gates_of(methods, shares, noise, layers_only=True).detach())
        return self._gates_of(methods, shares, noise)

    def _gates_of(
        self, methods: Sequence[Method], shares: Sequence[Share], noise: Tensor, layers_only: bool = False
    ) -> Tensor:
        """The gates [H] of all shares, or those of layers and 1 for all other units."""
        pieces = zip(methods, shares, self.choice.cut(self.logits), self.choice.cut(noise), strict=True)
        return torch.cat(
            [
                torch.ones_like(own)
                if layers_only and not share.nests
                else method.gates(logits, self.update, own, share.pool)
                for method, share, logits, own in pieces
            ]
        )

    def narrowed(self, methods: Sequence[Method], gates: Tensor) -> tuple[Sequence[Method], Sequence[Share]]:
        """Methods and shares that choose within the layers that are open in gates or a mask [H].

        In a closed layer nothing can be open. Independent gates are drawn everywhere: their number is not exact.
        """
        shares = self.choice.within(gates > _CLOSED)
        if self.method.independent:
            return methods, self.choice.shares
        return [
            method if share is whole else replace(method, total=share.pool.total, keep=share.keep)
            for method, share, whole in zip(methods, shares, self.choice.shares, strict=True)
        ], shares

    def of_update(self, device: torch.device) -> Tensor | None:
        """The gates [H] that all batches of this update use, float32, on ``device``; None when all units are open.

        They are a copy of :meth:`sample` that is detached from the logits. The copy gathers the gradient of all
        backward passes of the update (activation checkpointing makes one per layer), and :meth:`step` passes the sum
        on to the logits once.
        """
        if self._drawn is None:
            sample = self.sample()
            if sample is None:
                return None
            leaf = sample.detach().to(device, torch.float32).requires_grad_(sample.requires_grad)
            self._drawn = (sample, leaf)
        return self._drawn[1]

    def gradient(self) -> Tensor | None:
        """Gradient [H] of the summed losses of this update so far with respect to the logits; None without any."""
        sample, leaf = self._drawn or (None, None)
        if sample is not None and leaf is not None and leaf.grad is not None:
            self._drawn = None
            if leaf.grad.isfinite().all():
                torch.autograd.backward(sample, leaf.grad.to(sample))
            else:  # an overflow: step() finds it after the sum over processes, and all of them leave the step out
                self.logits.grad = torch.full_like(self.logits, float("inf"))
        return self.logits.grad

    def __getstate__(self) -> dict[str, Any]:
        # a deep copy of the model (fairseq's EMA makes one) cannot hold the graph of the sample, and draws its own
        return {**self.__dict__, "_drawn": None}

    def penalty(self) -> Tensor | None:
        """Price of the open units, to be added to the loss per unit of sample size: a scalar with gradient to the
        logits, or None for methods without a price.
        """
        if self.multipliers is not None:
            return None if self.settled else lagrangian(self.multipliers, self._sparsities())
        pieces = zip(self.methods, self.choice.shares, self.choice.cut(self.logits), strict=True)
        prices = [method.penalty(logits, share.pool, self.update) for method, share, logits in pieces]
        known = [price for price in prices if price is not None]
        return reduce(torch.add, known) if len(known) == len(prices) else None

    def _sparsities(self) -> list[tuple[Tensor, float]]:
        """Of each share the expected sparsity, with gradient, and its target at this update."""
        inside = self._chances_of_layers()
        within = [None] * len(self.methods) if inside is None else self.choice.cut(inside)
        pieces = zip(self.methods, self.choice.shares, self.choice.cut(self.logits), within, strict=True)
        return [
            method.sparsity(logits, self.update, share.pool, None if share.nests else own)
            for method, share, logits, own in pieces
        ]

    def _chances_of_layers(self) -> Tensor | None:
        """Probability [H] that the layer of each unit is open, of hard-concrete gates; None without gates on layers."""
        if not self.choice.holders:
            return None
        return chances_of_layers(self.logits.detach(), self.choice.holder_of_unit)

    @property
    def expected_counts(self) -> dict[str, float]:
        """Expected numbers of heads, hidden units and layers, by structure, that hard-concrete gates leave open."""
        fixed = torch.cat([share.pool.fixed_units for share in self.choice.shares])
        probability = chances(self.logits.detach(), fixed, self._chances_of_layers())
        counts = dict.fromkeys(self.inventory.structures, 0.0)
        for block, piece in zip(self.inventory.blocks, self.per_block(probability), strict=True):
            counts[block.structure] += float(piece.sum()) * block.count
        return counts

    @property
    def expected_heads(self) -> float:
        """Expected number of open heads, of hard-concrete gates."""
        return self.expected_counts.get(HEADS.name, 0.0)

    def further_scalars(self) -> dict[str, float]:
        """Numbers of this update for the logs, by name, that other gates have beside those of ``scalars.py``."""
        return {}

    def _generator(self, offset: int = 0) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed * 1_000_003 + self.update + offset)

    def begin_update(self) -> None:
        """Forget gradients and sample sizes left over from an abandoned update, such as after an fp16 overflow."""
        self.logits.grad = self._drawn = None
        self._sample_size = 0.0

    def add_sample_size(self, sample_size: float) -> None:
        """Count the sample size of one batch; :meth:`step` divides the gradient of the update by their sum."""
        self._sample_size += float(sample_size)

    def step(self, loss_scale: float = 1.0, all_reduce: Callable[[Tensor], Tensor] | None = None) -> None:
        """Make one Adam step of the logits; an update whose gradient overflowed makes none.

        Args:
            loss_scale: factor by which mixed precision multiplied the loss.
            all_reduce: sums a tensor over all processes; None for a single process.
        """
        gradient = self.gradient()
        if gradient is None:
            self.begin_update()
            return
        # [H] and [1] -> [H + 1]
        total = torch.cat([gradient, self.logits.new_tensor([self._sample_size])])
        if all_reduce is not None:
            total = all_reduce(total)
        if not total.isfinite().all():  # an overflow, as mixed precision has now and then
            self.begin_update()
            return
        if self.multipliers is not None:
            self.multipliers.copy_(all_ascended(self.multipliers, self._sparsities()))
        self.adam.step(self.logits, total[:-1] / (total[-1] or 1.0) / loss_scale)
        self._store_mask()
        self.begin_update()

    def per_block(self, flat: Tensor) -> list[Tensor]:
        """Cut a flat tensor [H] into one tensor [units of the block] per block."""
        return list(torch.split(flat, self.inventory.sizes))
