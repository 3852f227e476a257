"""Matrices cut into equal blocks: masking a matrix with one number a block, with the straight-through gradient."""

from typing import Any

import torch
from torch import Tensor


def expanded(mask: Tensor, shape: tuple[int, int]) -> Tensor:
    """One number a block [r, c] as one number a weight [R, C]; r divides R, c divides C.

    >>> expanded(torch.tensor([[1.0, 0.0]]), (2, 4)).tolist()
    [[1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0]]
    """
    return mask.repeat_interleave(shape[0] // mask.size(0), 0).repeat_interleave(shape[1] // mask.size(1), 1)


def block_sums(matrix: Tensor, grid: tuple[int, int]) -> Tensor:
    """The sum over each block of a matrix: [R, C] -> [r, c], for a ``grid`` (r, c)."""
    return _by_blocks(matrix, grid).sum(dim=(1, 3))


def masked(weight: Tensor, scores: Tensor, mask: Tensor) -> Tensor:
    """W' = expanded(M) * W, with the straight-through gradient of movement pruning (Sanh et al. 2020, section 4).

    The backward pass gives dL/dS_block = sum over the block of W * dL/dW', whether the block is open or not, and
    dL/dW = expanded(M) * dL/dW'. Products for the scores are float32 or wider.

    Args:
        weight: W [R, C].
        scores: S [r, c], which get a gradient and nothing else.
        mask: M [r, c], of zeros and ones.
    """
    product: Tensor = _Masked.apply(weight, scores, mask)  # type: ignore[no-untyped-call]  # torch has no types here
    return product


class _Masked(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, scores: Tensor, mask: Tensor) -> Tensor:
        ctx.save_for_backward(weight, mask)
        ctx.dtype = scores.dtype
        return _times(weight, mask)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        (gradient,), (weight, mask) = gradients, ctx.saved_tensors
        of_weight = _times(gradient, mask) if ctx.needs_input_grad[0] else None
        of_scores = None
        if ctx.needs_input_grad[1]:
            wide = torch.promote_types(weight.dtype, torch.float32)  # half precision would overflow in the sum
            product = weight.to(wide) * gradient.to(wide)
            of_scores = block_sums(product, (mask.size(0), mask.size(1))).to(ctx.dtype)
        return of_weight, of_scores, None


def _times(matrix: Tensor, mask: Tensor) -> Tensor:
    """[R, C] times one number a block [r, c]."""
    blocks = _by_blocks(matrix, (mask.size(0), mask.size(1)))
    # [r, R/r, c, C/c] * [r, 1, c, 1] -> [R, C]
    return (blocks * mask[:, None, :, None].to(matrix.dtype)).reshape(matrix.shape)


def _by_blocks(matrix: Tensor, grid: tuple[int, int]) -> Tensor:
    """[R, C] -> [r, R/r, c, C/c]"""
    (rows, columns), (down, across) = matrix.shape, grid
    return matrix.reshape(down, rows // down, across, columns // across)
