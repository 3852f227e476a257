"""Importance without data: from the weights alone, and by chance, to compare with."""

import torch
from torch import Tensor

from ..modules import GatedMultiheadAttention


def magnitude_importance(model) -> Tensor:
    """[H], float64: the Frobenius norm of all weights that a head owns.

    Those are its rows of the query, key and value projections and its columns of the output projection,
    without biases: the group magnitude of structured pruning, with all that is removed together as one group
    (Fang et al., DepGraph, CVPR 2023).
    """
    return torch.cat([_norms(attention) for attention in model.attention])


@torch.no_grad()
def _norms(attention: GatedMultiheadAttention) -> Tensor:
    """[heads] of one block."""
    inward = (attention.q_proj, attention.k_proj, attention.v_proj)
    squares = attention.out_proj.weight.double().square().sum(dim=0)  # [heads*d]
    squares = squares + sum(projection.weight.double().square().sum(dim=1) for projection in inward)
    # [heads*d] -> [heads, d] -> [heads]
    return squares.reshape(attention.num_heads, attention.head_dim).sum(dim=1).sqrt()


def random_importance(heads: int, seed: int) -> Tensor:
    """[H], float64, uniform on [0, 1), the same for the same seed."""
    return torch.rand(heads, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
