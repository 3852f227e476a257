"""Importance without data: the norm of the weights, and random numbers as a baseline."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from ..structures.inventory import Block
from ..structures.nesting import layer_weights
from ..structures.structure import STRUCTURES
from ..structures.surgery import weights_of


@torch.no_grad()
def magnitude_importance(model) -> Tensor:
    """[H], float64: the Frobenius norm of all weights that a unit owns, without biases (see structure.py).

    Of a layer these are all matrices in it.
    """
    weights = model.state_dict()
    blocks = model.gates.inventory.blocks
    return torch.cat([_norms(weights, block) for block in blocks])


def _norms(weights: Mapping[str, Tensor], block: Block) -> Tensor:
    if not STRUCTURES[block.structure].nests:
        return block.owned.norms(weights_of(weights, block), block.width)
    layers = [[w for w in own.values() if w.dim() == 2] for own in layer_weights(weights, block)]
    return torch.stack([_sum_of_squares(matrices).sqrt() for matrices in layers])


def _sum_of_squares(matrices: Iterable[Tensor]) -> Tensor:
    """The sum of squares of all entries, a float64 scalar."""
    return torch.stack([matrix.double().square().sum() for matrix in matrices]).sum()


def random_importance(units: int, seed: int) -> Tensor:
    """[H], float64, uniform on [0, 1), the same for the same seed."""
    return torch.rand(units, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
