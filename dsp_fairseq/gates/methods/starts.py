"""Logits at the start of a training."""

import math

import torch
from torch import Tensor

from ...structures.inventory import Inventory, uniform_order

UNIFORM_PRIOR = 4.0  # step from one head of a block to the next, in the logits at the start


def uniform_logits(inventory: Inventory, step: float) -> Tensor:
    """Logits [H] that fall by ``step`` from one head of a block to its next.

    Heads of one block are interchangeable before training, and a second head of a block adds less
    than a first: so the start says how many heads a block gets, and the search corrects it. Within
    a round the order of ``uniform_order`` decides, by a thousandth of the step.
    """
    order = uniform_order(inventory)
    logits = torch.empty(inventory.units, dtype=torch.float64)
    within = torch.tensor([head for block in inventory.blocks for head in range(block.units)])
    for place, head in enumerate(order):
        logits[head] = -step * (float(within[head]) + 1e-3 * place / len(order))
    return logits


def published_logits(inventory: Inventory) -> Tensor:
    """Random logits [H] as the published code draws them: Xavier uniform over [blocks, heads]."""
    bound = math.sqrt(6.0 / (len(inventory.blocks) + inventory.units / len(inventory.blocks)))
    return torch.empty(inventory.units, dtype=torch.float64).uniform_(-bound, bound)
