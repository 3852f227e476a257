"""Losses that know their own slope: its computation a few rows at a time, and its way into autograd."""

from collections.abc import Iterator

import torch
from torch import Tensor

ROWS = 32  # tokens at a time on a CPU, whose cache holds so many rows of the vocabulary: half the time of all at once


def in_pieces(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Views of the same rows of all ``tensors`` [tokens, ...]: ``ROWS`` on a CPU, all of them elsewhere."""
    rows = ROWS if tensors[0].device.type == "cpu" else max(len(tensors[0]), 1)
    return zip(*(tensor.split(rows) for tensor in tensors), strict=True)


def with_slope(logits: Tensor, loss: Tensor, slope: Tensor, counts: Tensor) -> Tensor:
    """``loss``, with the gradient ``slope`` with respect to ``logits``; it can be differentiated once.

    Args:
        logits: [tokens, types], any float type.
        loss: scalar, float32.
        slope: [tokens, types], float32; it is overwritten. Rows of tokens that do not count can be anything.
        counts: [tokens], bool.
    """
    return _WithSlope.apply(logits, loss, slope, counts)


class _WithSlope(torch.autograd.Function):
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
