"""Adam for the logits alone."""

import torch
from torch import Tensor, nn


class LogitAdam(nn.Module):
    """One Adam step at a constant rate of its own (Kingma & Ba 2015), float64, no weight decay.

    fairseq writes one learning rate into every parameter group at every update and flattens all
    parameters under ``--fp16``: a rate given to a group is lost. So the logits are no parameter of
    fairseq's optimiser; this is theirs, and its moments are saved with the model.

    ``pooled``: all logits share one second moment, the mean over the heads that can be chosen (bool
    [H], None: all); the gradient of the others is always 0. Per-logit moments make every logit move at
    the same speed however small its gradient is; a ranking needs the gradients' relative sizes.
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
    ):
        super().__init__()
        self._choosable = torch.ones(size, dtype=torch.bool) if choosable is None else choosable
        self.rate, self.pooled, self.betas, self.eps = rate, pooled, betas, eps
        for name in ("mean", "square"):
            self.register_buffer(name, torch.zeros(size, dtype=torch.float64))
        self.register_buffer("steps", torch.zeros((), dtype=torch.float64))

    def restart(self) -> None:
        """Forget all moments."""
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
            of_choosable = square[self._choosable]
            square = (of_choosable.mean() if len(of_choosable) else of_choosable.sum()).expand_as(square)
        self.square.lerp_(square, 1 - beta2)
        mean = self.mean / (1 - beta1**self.steps)
        square = self.square / (1 - beta2**self.steps)
        logits -= self.rate * mean / (square.sqrt() + self.eps)
