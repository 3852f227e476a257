"""The gates of a model whose weights are pruned by movement: its scores, and the masks that they make."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor

from ...errors import refuse
from ...structures.inventory import Inventory
from ..choice import Choice
from ..gates import Gates
from ..logit_adam import LogitAdam
from ..methods import Method
from ..methods.movement import Settings
from .layout import Layout, ScoredMatrix
from .penalty import open_share


class MovementGates(Gates):
    """Scores [N] of blocks of weights, in the place of logits of units.

    All units are open in training, because a score learns from what its closed weights would have done. At evaluation
    the units without open weights are left out, which changes nothing.

    Scores are float32 and lie on the device of the weights; they and the moments of their optimiser are saved with the
    model. An update has one mask, and one detached copy of each sheet of scores that gathers the gradients of all its
    backward passes; the masked weights themselves are products of every forward pass, because data parallel training
    and mixed precision have to see the gradient of the weights.

    Args:
        inventory, choice, methods, seed: as of the base class; the choice keeps all units.
        settings: schedule, blocks, rates and penalty.
        group_weights: factors of the penalty by group (see ``penalty.py``).
    """

    scores: Tensor
    level: Tensor  # share of the weights that is kept, or threshold, at this update

    def __init__(
        self,
        inventory: Inventory,
        choice: Choice,
        methods: Sequence[Method],
        seed: int,
        settings: Settings,
        group_weights: Mapping[str, float],
    ):
        super().__init__(inventory, choice, methods, settings.rate, seed)
        self.layout = Layout.of(inventory, settings.blocking)
        self.settings, self._group_weights = settings, dict(group_weights)
        self.register_buffer("scores", torch.zeros(self.layout.scores))
        self.register_buffer("level", torch.tensor(settings.level(0.0), dtype=torch.float64))
        self.score_adam = LogitAdam(self.layout.scores, settings.rate, pooled=False)
        self._leaves: list[Tensor] | None = None
        self._mask: Tensor | None = None

    # --- masks

    def weight_mask(self) -> Tensor:
        """The open scores at this update: bool [N], on the device of the scores."""
        if self._mask is None:
            self._mask = mask_of(self.scores, float(self.level), self.layout, self.settings)
        return self._mask

    def masked_matrices(self) -> list[tuple[ScoredMatrix, Tensor, Tensor]]:
        """Of every matrix its mask and its scores of this update, both [r, c] float32; the scores gather gradients."""
        if self._leaves is None:
            pieces = torch.split(self.scores.detach(), list(self.layout.sizes))
            self._leaves = [piece.clone().requires_grad_() for piece in pieces]
        mask, found = self.weight_mask().float(), []
        for matrix in self.layout.matrices:
            leaf = self._leaves[self.layout.sheet_of(matrix)]
            found.append((matrix, matrix.of(mask), leaf.view(matrix.grid)))  # [r*c] -> [r, c]
        return found

    def mask(self) -> Tensor:
        """The units that decode, bool [H]: those that the mask of the weights leaves."""
        return self.layout.units_left(self.weight_mask())

    @property
    def settled(self) -> bool:
        return False

    @property
    def open_counts(self) -> dict[str, int]:
        """Numbers of heads and hidden units that the mask of the weights leaves, by structure."""
        return self._counts_of(self.mask())

    @property
    def expected_counts(self) -> dict[str, float]:
        return {}

    def further_scalars(self) -> dict[str, float]:
        """Share of the weights that is open, and the threshold, for the logs."""
        scalars = {"weights_kept": self.layout.weights_in(self.weight_mask()) / max(1, self.layout.weights)}
        return scalars if self.settings.share is not None else {**scalars, "threshold": float(self.level)}

    # --- over a training

    @property
    def progress(self) -> float:
        """How far pruning has come, 0 to 1."""
        return self.settings.schedule.progress(self.update, int(self.length))

    def searching(self, update: int) -> bool:
        return True

    def plan_search(self, update: int, left: int, share: float, length: int) -> None:
        """Take the length of the training, of which the schedule has shares; raises BadInput if it never prunes."""
        self.length.fill_(length)
        refuse(self.settings.problems(length))
        self._set_level()

    def set_num_updates(self, update: int) -> None:
        length = float(self.length)
        super().set_num_updates(update)
        self.length.fill_(length)  # which the base class forgets; it was planned before this update
        if update == 0:
            self.scores.zero_()
            self.score_adam.restart()
        self._set_level()

    def _set_level(self) -> None:
        self.level.fill_(self.settings.level(self.progress))
        self._mask = None

    def finish_pruning(self) -> None:
        """Mask as at the end of a training with these settings, whatever level was stored."""
        self.level.fill_(self.settings.level(1.0))
        self._mask = None

    def penalty(self) -> Tensor | None:
        """The price of open scores, for the loss and the logs; its gradient is added in :meth:`step`."""
        price = self.settings.penalty * self.progress
        if not self.settings.penalty:
            return None
        return price * open_share(self.scores.detach(), self.layout, self._group_weights)

    def begin_update(self) -> None:
        super().begin_update()
        self._leaves = None

    def step(self, loss_scale: float = 1.0, all_reduce: Callable[[Tensor], Tensor] | None = None) -> None:
        """Make one Adam step of the scores; see the base class."""
        # [N] and [1] -> [N + 1]
        total = torch.cat([self._gradient(), self.scores.new_tensor([self._sample_size])])
        if all_reduce is not None:
            total = all_reduce(total).to(self.scores.device)
        if total.isfinite().all():
            self.score_adam.rate = self.settings.rate * self._rate_left
            gradient = total[:-1] / (total[-1] or 1.0) / loss_scale + self._gradient_of_penalty()
            self.score_adam.step(self.scores, gradient.double())
            self._mask = None
            self.kept.store(self.mask())
        self.begin_update()

    @property
    def _rate_left(self) -> float:
        """Factor of the learning rate, 1 at the start and 0 at the end of the training."""
        return max(0.0, 1.0 - self.update / float(self.length)) if self.length else 1.0

    def _gradient(self) -> Tensor:
        """Gradient [N] of the summed losses of this update, float32."""
        if self._leaves is None:
            return torch.zeros_like(self.scores)
        return torch.cat([torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in self._leaves])

    def _gradient_of_penalty(self) -> Tensor:
        price = self.settings.penalty * self.progress
        if not price:
            return torch.zeros_like(self.scores)
        with torch.enable_grad():
            scores = self.scores.detach().requires_grad_()
            [gradient] = torch.autograd.grad(open_share(scores, self.layout, self._group_weights), scores)
        return price * gradient

    # --- as a module

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move the scores with the model, but keep their precision; what the base class has stays on the CPU."""
        device = fn(torch.empty(0, device=self.scores.device)).device
        self.scores = self.scores.to(device)
        for name, moment in self.score_adam.named_buffers():
            setattr(self.score_adam, name, moment.to(device))
        self._leaves = self._mask = None
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_leaves": None}

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._leaves = self._mask = None

    def upgrade_state_dict_named(self, state_dict: dict[str, Tensor], name: str) -> None:
        """Drop what a checkpoint of another method has; its units have gates, here they have none."""
        there = state_dict.get(f"{name}.scores")
        if there is None or there.shape != self.scores.shape:
            for key in [key for key in state_dict if key.startswith(f"{name}.")]:
                del state_dict[key]
        super().upgrade_state_dict_named(state_dict, name)


def mask_of(scores: Tensor, level: float, layout: Layout, settings: Settings) -> Tensor:
    """The open scores, bool [N], at a ``level``: the share of the weights that is kept, or the threshold.

    A score is compared with the logit of the threshold, in float64, so that every device has the same mask.
    """
    if settings.share is not None:
        return layout.top(scores, level)
    return scores.detach().double() > torch.tensor(level, dtype=torch.float64, device=scores.device).logit()
