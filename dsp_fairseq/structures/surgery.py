"""Taking units out of a state dict, and putting zeros back in their place.

Pure functions of state dicts and inventories. What is left computes exactly what the masked model does, for a unit
whose gate is 0 adds nothing to its block's output.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from .inventory import Block, Inventory
from .structure import STRUCTURES, entries_of

UNUSED = "unused"  # a parameter that models have whose weights are all frozen, and that nothing reads


def weights_of(state: Mapping[str, Tensor], block: Block) -> dict[str, Tensor]:
    """The parameters of a block's slices, by their names without the name of the module.

    Raises ValueError when their sizes are not those of the block's units.
    """
    weights = {}
    for name, axis in STRUCTURES[block.structure].slices:
        weights[name] = tensor = state[f"{block.module}.{name}"]
        if tensor.size(axis) != block.units * block.width:
            raise ValueError(
                f"{block.module}.{name} has {tensor.size(axis)} entries along axis {axis}, but {block.units} "
                f"{block.structure} of width {block.width} have {block.units * block.width}"
            )
    return weights


def remove_units(state: Mapping[str, Tensor], before: Inventory, after: Inventory) -> dict[str, Tensor]:
    """The state dict of a model with the units of ``before``, cut down to those of ``after``.

    Of the gates only the logits stay, those of the units that are left: the search is over.
    """
    small = without_gates(state)
    logits = []
    pieces = torch.split(state["gates.logits"], before.sizes)
    for old, new, old_logits in zip(before.blocks, after.blocks, pieces, strict=True):
        places = torch.tensor([old.indices.index(i) for i in new.indices], dtype=torch.int64)
        logits.append(old_logits.detach()[places])
        kept = STRUCTURES[old.structure].select(weights_of(state, old), entries_of(places, old.width))
        small.update((f"{old.module}.{name}", tensor) for name, tensor in kept.items())
    return {**small, "gates.logits": torch.cat(logits)}


def fill_with_zeros(state: Mapping[str, Tensor], inventory: Inventory) -> dict[str, Tensor]:
    """The state dict of the stock model that computes the same: all units there, zeros for removed ones."""
    full = without_gates(state)
    for block in inventory.blocks:
        entries, length = entries_of(torch.tensor(block.indices, dtype=torch.int64), block.width), block.original_length

        def filled(tensor: Tensor, axis: int, entries: Tensor = entries, length: int = length) -> Tensor:
            shape = [length if i == axis else size for i, size in enumerate(tensor.shape)]
            return tensor.new_zeros(shape).index_copy(axis, entries, tensor)

        zeros = STRUCTURES[block.structure].change(weights_of(state, block), filled)
        full.update((f"{block.module}.{name}", tensor) for name, tensor in zeros.items())
    return full


def without_gates(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights alone."""
    return {name: tensor for name, tensor in state.items() if not name.startswith("gates.") and name != UNUSED}
