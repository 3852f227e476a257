"""The values of the logits at the start of a training."""

import math

import torch
from torch import Tensor

from ...structures.heads import HEADS
from ...structures.inventory import Block, Inventory, uniform_order
from ...structures.structure import STRUCTURES

UNIFORM_PRIOR = 4.0  # difference between the initial logits of successive units of a block


def uniform_logits(inventory: Inventory, step: float) -> Tensor:
    """Logits [H], float64, that fall by ``step`` from each unit of a block to the next.

    Units of one block are interchangeable before training, and a second head of a block adds less than the first. So
    the start spreads the kept units evenly over the blocks, and the search corrects the number of each block. Units
    with the same index in their blocks differ by at most a thousandth of the step, in the order of ``uniform_order``.
    """
    order = uniform_order(inventory)
    logits = torch.empty(inventory.units, dtype=torch.float64)
    within = torch.tensor([index * scale for block, scale in _scales(inventory) for index in block.places])
    for place, unit in enumerate(order):
        logits[unit] = -step * (float(within[unit]) + 1e-3 * place / len(order))
    return logits


def _scales(inventory: Inventory) -> list[tuple[Block, float]]:
    """All blocks, each with the number of heads by which the prior counts one of its units.

    The hidden units of a whole block count like all heads of a block: blocks of different structures then keep equal
    shares of their units as long as nothing moves the logits. Layers of a stack are not interchangeable, so the prior
    only decides between equal ones.
    """
    heads = max((block.units for block in inventory.blocks if block.structure == HEADS.name), default=4)
    return [
        (
            block,
            0.0
            if STRUCTURES[block.structure].nests
            else 1.0
            if block.structure == HEADS.name
            else heads / max(block.units, 1),
        )
        for block in inventory.blocks
    ]


def published_logits(inventory: Inventory) -> Tensor:
    """Random logits [H], float64, as the code published with DSP draws them: Xavier uniform over [blocks, heads]."""
    bound = math.sqrt(6.0 / (len(inventory.blocks) + inventory.units / len(inventory.blocks)))
    return torch.empty(inventory.units, dtype=torch.float64).uniform_(-bound, bound)
