"""Importance without data: the norm of the weights, and random numbers as a baseline."""

import torch
from torch import Tensor

from ..structures.surgery import weights_of


@torch.no_grad()
def magnitude_importance(model) -> Tensor:
    """[H], float64: the Frobenius norm of all weights that a unit owns, without biases (see structure.py)."""
    weights = model.state_dict()
    blocks = model.gates.inventory.blocks
    return torch.cat([b.owned.norms(weights_of(weights, b), b.width) for b in blocks])


def random_importance(heads: int, seed: int) -> Tensor:
    """[H], float64, uniform on [0, 1), the same for the same seed."""
    return torch.rand(heads, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
