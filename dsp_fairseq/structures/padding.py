"""Attention blocks padded to equally many heads, for a runtime that knows one number of heads for each part of a model.

A head of zeros adds nothing to the output of its block. A block without heads is padded to the same number of heads,
which then have width 1 and cost almost nothing.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from .heads import HEADS
from .inventory import Block, Inventory
from .structure import STRUCTURES
from .surgery import weights_of


class PaddedBlock(NamedTuple):
    """One attention block of ``heads`` heads of size ``width``; D is the model's width."""

    heads: int
    width: int
    query: dict[str, Tensor]  # weight [heads*width, D], bias [heads*width]
    key: dict[str, Tensor]  # weight [heads*width, D of the keys], bias [heads*width]
    value: dict[str, Tensor]
    output: dict[str, Tensor]  # weight [D, heads*width], bias [D]
    scale: float  # factor of the queries: width ** -0.5 of the original heads


def padded_heads(inventory: Inventory) -> dict[str, int]:
    """Heads that the blocks of each part of the model are padded to: those of its largest block, at least 1."""
    heads: dict[str, int] = {}
    for block in inventory.of_structure(HEADS.name).blocks:
        heads[block.part] = max(heads.get(block.part, 1), block.units)
    return heads


def padded_block(weights: Mapping[str, Tensor], block: Block, heads: int) -> PaddedBlock:
    """The weights of a block, padded with zeros to ``heads`` heads; ``weights`` is the state dict of the model."""
    width = block.width if block.units else 1
    missing = heads * width - block.units * block.width

    def padded(tensor: Tensor, axis: int) -> Tensor:
        """Zeros at the end of the axis: [block.units*d] -> [heads*width]"""
        return F.pad(tensor, (0, 0) * (tensor.dim() - 1 - axis) + (0, missing))

    own = STRUCTURES[block.structure].change(weights_of(weights, block), padded)
    query, key, value = (
        {part: own[f"{name}.{part}"] for part in ("weight", "bias")} for name in ("q_proj", "k_proj", "v_proj")
    )
    output = {"weight": own["out_proj.weight"], "bias": weights[f"{block.module}.out_proj.bias"]}
    return PaddedBlock(heads, width, query, key, value, output, block.width**-0.5)
