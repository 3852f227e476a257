"""Removes units from a state dict, and puts zeros in the place of removed units.

These are pure functions of state dicts and inventories. The smaller model computes exactly what the masked model
computes, because a unit with gate 0 adds nothing to the output of its block.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from .inventory import Block, Inventory
from .nesting import without_layers
from .output_scaling import output_scale
from .structure import STRUCTURES, entries_of

UNUSED = "unused"  # name of the parameter without use that a model with frozen weights has, so that fairseq can train


def weights_of(state: Mapping[str, Tensor], block: Block) -> dict[str, Tensor]:
    """The parameters of a block's slices, by their names within the module.

    Raises ValueError when their sizes do not fit the number of the block's units.
    """
    weights = {}
    for name, axis in block.owned.slices:
        weights[name] = tensor = state[f"{block.module}.{name}"]
        if tensor.size(axis) != block.units * block.width:
            raise ValueError(
                f"{block.module}.{name} has {tensor.size(axis)} entries along axis {axis}, but {block.units} "
                f"{block.structure} of width {block.width} have {block.units * block.width}"
            )
    return weights


def remove_units(
    state: Mapping[str, Tensor], before: Inventory, after: Inventory, output_scaling: bool = False
) -> dict[str, Tensor]:
    """Cut the state dict of a model with the units of ``before`` down to the units of ``after``.

    Of the gates only the logits of the remaining units are kept, because the search is over. With ``output_scaling``
    the output weights of attention blocks get the factor that the masked model has (see ``output_scaling.py``). Where
    layers are gone, the result is the state dict of the smaller model, whose blocks are those of
    :func:`~.nesting.rebuilt`.
    """
    small = without_gates(state)
    logits = []
    pieces = torch.split(state["gates.logits"], before.sizes)
    for old, new, old_logits in zip(before.blocks, after.blocks, pieces, strict=True):
        places = torch.tensor([old.indices.index(i) for i in new.indices], dtype=torch.int64)
        if not STRUCTURES[old.structure].nests:  # the smaller model has no gates on layers
            logits.append(old_logits.detach()[places])
        kept = old.owned.select(weights_of(state, old), entries_of(places, old.width))
        output = old.owned.output
        if output_scaling and output is not None:
            kept[output] = kept[output] * output_scale(old.units, new.units)
        small.update((f"{old.module}.{name}", tensor) for name, tensor in kept.items())
    return {**without_layers(small, after), "gates.logits": torch.cat(logits)}


def fill_with_zeros(state: Mapping[str, Tensor], inventory: Inventory) -> dict[str, Tensor]:
    """The state dict of the stock model that computes the same: removed units are back, with zeros as weights."""
    full = without_gates(state)
    for block in inventory.blocks:
        entries, length = entries_of(torch.tensor(block.indices, dtype=torch.int64), block.width), block.original_length

        def filled(tensor: Tensor, axis: int, entries: Tensor = entries, length: int = length) -> Tensor:
            shape = [length if i == axis else size for i, size in enumerate(tensor.shape)]
            return tensor.new_zeros(shape).index_copy(axis, entries, tensor)

        zeros = block.owned.change(weights_of(state, block), filled)
        full.update((f"{block.module}.{name}", tensor) for name, tensor in zeros.items())
    return full


def without_gates(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The entries of a state dict that a stock model has too."""
    return {name: tensor for name, tensor in state.items() if not name.startswith("gates.") and name != UNUSED}
