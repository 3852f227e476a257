"""Losses that know their own slope: computed a few rows at a time, with an explicit backward pass."""

from collections.abc import Callable

import torch
from torch import Tensor

ROWS = 32  # tokens at a time on a CPU, whose cache holds so many rows of the vocabulary: half the time of all at once


def summed_loss(
    of_rows: Callable[..., tuple[Tensor, ...]], padding: int, logits: Tensor, target: Tensor, *others: Tensor
) -> tuple[Tensor, ...]:
    """The sums over all tokens that are not padding of what ``of_rows`` computes: a loss, and numbers beside it.

    Args:
        of_rows: called with some rows of ``slope`` [tokens, types], float32, which it fills with the gradient of the
            loss with respect to the logits, and with the same rows of logits, target and others. It returns the loss
            and further numbers, each [tokens], float32. Rows of padding can be anything.
        padding: type whose tokens do not count.
        logits: [tokens, types], any float type.
        target: [tokens], int64.
        others: [tokens, ...]; they have no gradient.

    Returns:
        Scalars, float32. Only the first has a gradient, and it can be differentiated once.
    """
    with torch.no_grad():
        counts = target.ne(padding)
        slope = torch.empty_like(logits, dtype=torch.float32)
        size = ROWS if logits.device.type == "cpu" else max(len(logits), 1)
        sums = []
        for counted, *rows in zip(
            *(each.split(size) for each in (counts, slope, logits, target, *others)), strict=True
        ):
            sums.append(torch.stack([number.where(counted, 0.0).sum() for number in of_rows(*rows)]))
        loss, *numbers = torch.stack(sums).sum(dim=0)
    return _WithSlope.apply(logits, loss, slope, counts), *numbers


class _WithSlope(torch.autograd.Function):
    """A loss whose gradient is known already."""

    @staticmethod
    def forward(ctx, logits, loss, slope, counts):
        ctx.slope, ctx.counts, ctx.dtype = slope, counts, logits.dtype
        return loss.clone()

    @staticmethod
    def backward(ctx, grad):
        if ctx.slope is None:
            raise RuntimeError("this loss can be differentiated once: it reuses its memory")
        slope, ctx.slope = ctx.slope.mul_(grad), None
        if slope.device.type == "cpu":
            slope[~ctx.counts] = 0.0  # masked_fill_ takes as long as a softmax there
        else:
            slope.masked_fill_(~ctx.counts.unsqueeze(1), 0.0)  # the other form would wait for the device
        return slope.to(ctx.dtype), None, None, None
