"""The optimiser of the logits: Adam with its own learning rate."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class LogitAdam(nn.Module):
    """Adam (Kingma & Ba 2015) at a constant learning rate, in float64, without weight decay.

    fairseq writes one learning rate into all parameter groups at every update, and flattens all parameters under
    ``--fp16``, so logits in fairseq's optimiser would lose their own rate. The logits have this optimiser instead,
    and its moments are saved with the model.

    Args:
        size: number of logits H.
        rate: learning rate.
        pooled: whether all logits share one second moment, the mean over the choosable units. With a second moment
            per logit every logit moves at the same speed, however small its gradient is; a ranking needs the
            relative sizes of the gradients.
        betas: decay rates of the moments.
        eps: added to the root of the second moment.
        choosable: units whose fate depends on the logits, bool [H], or None for all units; the gradient of the other
            logits is always 0.
        groups: sizes of successive groups of logits with a second moment each, when they are pooled; None: one group.
    """

    mean: Tensor
    square: Tensor
    steps: Tensor

    def __init__(
        self,
        size: int,
        rate: float,
        pooled: bool,
        betas: tuple[float, float] = (0.9, 0.98),
        eps: float = 1e-8,
        choosable: Tensor | None = None,
        groups: Sequence[int] | None = None,
    ):
        super().__init__()
        self._choosable = torch.ones(size, dtype=torch.bool) if choosable is None else choosable
        self._groups = [size] if groups is None else list(groups)
        self.rate, self.pooled, self.betas, self.eps = rate, pooled, betas, eps
        for name in ("mean", "square"):
            self.register_buffer(name, torch.zeros(size, dtype=torch.float64))
        self.register_buffer("steps", torch.zeros((), dtype=torch.float64))

    def restart(self) -> None:
        """Set all moments and the step count to 0."""
        for moment in self.buffers():
            moment.zero_()

    @torch.no_grad()
    def step(self, logits: Tensor, gradient: Tensor) -> None:
        """Move ``logits`` [H] in place against ``gradient`` [H]."""
        beta1, beta2 = self.betas
        self.steps += 1
        self.mean.lerp_(gradient, 1 - beta1)
        square = gradient.square()
        if self.pooled:
            pieces = zip(*(torch.split(flat, self._groups) for flat in (square, self._choosable)), strict=True)
            square = torch.cat([_mean(piece[choosable]).expand_as(piece) for piece, choosable in pieces])
        self.square.lerp_(square, 1 - beta2)
        mean = self.mean / (1 - beta1**self.steps)
        square = self.square / (1 - beta2**self.steps)
        logits -= self.rate * mean / (square.sqrt() + self.eps)


def _mean(numbers: Tensor) -> Tensor:
    """The mean of numbers [n], a scalar; 0 where there are none."""
    return numbers.mean() if len(numbers) else numbers.sum()
