"""Which blocks lie inside of which layers, and what is left of a model when closed layers are gone."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from .inventory import Block, Inventory
from .layers import layer_prefix
from .structure import STRUCTURES


def holders(inventory: Inventory) -> tuple[int | None, ...]:
    """For each block, in flat order, the flat index of the layer that it lies in; None where no layer has a gate.

    Empty for a model without gates on layers.
    """
    places, start = {}, 0
    for block in inventory.blocks:
        if STRUCTURES[block.structure].nests:
            places.update({(block.part, layer): start + place for place, layer in enumerate(block.indices)})
        start += block.units
    if not places:
        return ()
    return tuple(
        None if STRUCTURES[block.structure].nests else places.get((block.part, block.layer))
        for block in inventory.blocks
    )


def layers_left(inventory: Inventory) -> dict[str, int]:
    """Number of layers that are left of each stack whose layers have gates, by the name of the part of the model."""
    return {block.part: block.units for block in _stacks(inventory)}


def inside_of_layers(inventory: Inventory) -> Inventory:
    """The blocks without the stacks of layers."""
    return Inventory(block for block in inventory.blocks if not STRUCTURES[block.structure].nests)


def closed_blocks(inventory: Inventory) -> list[bool]:
    """For each block, in flat order, whether it lies in a layer that the inventory lacks."""
    stacks = {stack.part: stack for stack in _stacks(inventory)}
    return [
        block.part in stacks and not STRUCTURES[block.structure].nests and block.layer not in stacks[block.part].indices
        for block in inventory.blocks
    ]


def rebuilt(inventory: Inventory) -> Inventory:
    """The blocks of the model that is left when the layers that ``inventory`` lacks are gone.

    The layers that stay are numbered anew, from 0, and have no gates any more: the smaller model has fewer layers, and
    nothing in it says that there were more. Without gates on layers the inventory stays as it is.
    """
    blocks: Iterable[Block] = inventory.blocks
    for stack in _stacks(inventory):
        blocks = [moved for block in blocks for moved in _renumbered(block, stack)]
    return Inventory(blocks)


def without_layers(weights: Mapping[str, Tensor], inventory: Inventory) -> dict[str, Tensor]:
    """The state dict without the layers that ``inventory`` lacks; the others are numbered anew, as :func:`rebuilt`."""
    left = dict(weights)
    for stack in _stacks(inventory):
        new = {layer_prefix(stack.module, old): place for place, old in enumerate(stack.indices)}
        every = [layer_prefix(stack.module, layer) for layer in range(stack.original_units)]
        renamed = {}
        for name, tensor in left.items():
            prefix = next((prefix for prefix in every if name.startswith(prefix)), None)
            if prefix is None:
                renamed[name] = tensor
            elif prefix in new:
                renamed[layer_prefix(stack.module, new[prefix]) + name.removeprefix(prefix)] = tensor
        left = renamed
    return left


def layer_weights(weights: Mapping[str, Tensor], stack: Block) -> list[dict[str, Tensor]]:
    """The parameters of each layer of a stack, by their names within the layer."""
    return [
        {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}
        for prefix in (layer_prefix(stack.module, layer) for layer in stack.indices)
    ]


def _stacks(inventory: Inventory) -> Sequence[Block]:
    return [block for block in inventory.blocks if STRUCTURES[block.structure].nests]


def _renumbered(block: Block, stack: Block) -> list[Block]:
    """The block with the new number of its layer; no block where the layer is gone, or the block is the stack."""
    if block is stack:
        return []
    if block.part != stack.part or STRUCTURES[block.structure].nests:
        return [block]
    if block.layer not in stack.indices:
        return []
    layer = stack.indices.index(block.layer)
    # the dot that ends the prefix is missing where the block's module is the layer itself
    old, new = (layer_prefix(stack.module, number) for number in (block.layer, layer))
    return [replace(block, layer=layer, module=(new + f"{block.module}.".removeprefix(old)).removesuffix("."))]
