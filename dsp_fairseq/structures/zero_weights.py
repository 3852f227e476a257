"""The zeros in the matrices of blocks: how many there are, and small numbers in their place."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from .inventory import Inventory
from .surgery import weights_of

SPREAD = 0.01  # of the numbers that fill zeros, as a share of that of the matrix (Lagunas et al. 2021)


class ZeroWeights(NamedTuple):
    """Numbers of weights in the matrices of all blocks that are 0, that are there, and that the architecture has."""

    zero: int
    stored: int
    original: int


def count_zeros(state: Mapping[str, Tensor], inventory: Inventory) -> ZeroWeights:
    """Count the weights of all matrices that units own slices of, biases left out."""
    zero = stored = original = 0
    for block in inventory.blocks:
        for name, axis in block.owned.slices:
            matrix = state[f"{block.module}.{name}"]
            if matrix.dim() == 2:
                zero += int(matrix.eq(0).sum())
                stored += matrix.numel()
                original += matrix.size(1 - axis) * block.original_length
    return ZeroWeights(zero, stored, original)


def fill_zeros(state: Mapping[str, Tensor], inventory: Inventory, generator: torch.Generator) -> dict[str, Tensor]:
    """The state dict with mean(W) + 0.01 std(W) N(0, 1) in the place of every zero of the blocks' matrices W.

    Biases, norms and embeddings (and so the row of the padding) stay as they are.
    """
    filled = dict(state)
    for name in _matrices(state, inventory):
        matrix = state[name].detach()
        if matrix.numel() > 1 and bool(matrix.eq(0).any()):
            wide = matrix.double()
            noise = torch.randn(matrix.shape, generator=generator, dtype=torch.float64)
            filled[name] = torch.where(wide.eq(0), wide.mean() + SPREAD * wide.std() * noise, wide).to(matrix.dtype)
    return filled


def _matrices(state: Mapping[str, Tensor], inventory: Inventory) -> Iterator[str]:
    """The names of the matrices that units own slices of."""
    for block in inventory.blocks:
        own = weights_of(state, block)
        yield from (f"{block.module}.{name}" for name, tensor in own.items() if tensor.dim() == 2)
