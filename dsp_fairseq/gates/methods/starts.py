"""The values of the logits at the start of a training."""

import math

import torch
from torch import Tensor

from ...structures.inventory import Inventory, uniform_order

UNIFORM_PRIOR = 4.0  # difference between the initial logits of successive units of a block


def uniform_logits(inventory: Inventory, step: float) -> Tensor:
    """Logits [H], float64, that fall by ``step`` from each unit of a block to the next.

    Units of one block are interchangeable before training, and a second head of a block adds less than the first. So
    the start spreads the kept units evenly over the blocks, and the search corrects the number of each block. Units
    with the same index in their blocks differ by at most a thousandth of the step, in the order of ``uniform_order``.
    """
    order = uniform_order(inventory)
    logits = torch.empty(inventory.units, dtype=torch.float64)
    within = torch.tensor([index for block in inventory.blocks for index in range(block.units)])
    for place, unit in enumerate(order):
        logits[unit] = -step * (float(within[unit]) + 1e-3 * place / len(order))
    return logits


def published_logits(inventory: Inventory) -> Tensor:
    """Random logits [H], float64, as the code published with DSP draws them: Xavier uniform over [blocks, heads]."""
    bound = math.sqrt(6.0 / (len(inventory.blocks) + inventory.units / len(inventory.blocks)))
    return torch.empty(inventory.units, dtype=torch.float64).uniform_(-bound, bound)
