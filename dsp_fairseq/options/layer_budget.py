"""The budget in layers: how many of each stack are kept, and whether what lies in them can meet the other budgets."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..errors import BadInput, refuse
from ..gates.choice import Share
from ..gates.limits import Limits
from ..structures.inventory import Block, Inventory
from ..structures.layers import LAYERS, numbers_in
from ..structures.structure import STRUCTURES

OPTION = "--layers-to-keep"


def parse_layers(value: Any, own: Inventory) -> dict[str, int]:
    """Numbers of layers by part of the model, from a value of --layers-to-keep; None means all layers.

    ``own`` are the stacks. Raises BadInput when the value has another form, or asks for more than there is or for none.
    """
    there = {stack.part: stack.units for stack in own.blocks}
    if value is None:
        return there
    numbers = numbers_in(value)
    if numbers.keys() != there.keys():
        example = ",".join(f"{part}={count}" for part, count in there.items())
        raise BadInput(
            f"{OPTION} {str(value)[:100]}: must be a number for each stack, such as {example} (all that there are)"
        )
    refuse(
        f"{OPTION} {part}={count}: must be 1 to {there[part]}, the layers of that stack; fairseq needs one at least"
        for part, count in numbers.items()
        if not 1 <= count <= there[part]
    )
    return {part: numbers[part] for part in there}


def layer_shares(numbers: Mapping[str, int], own: Inventory) -> list[tuple[Share, Sequence[Block]]]:
    """A share of exactly so many layers for each stack, with its block."""
    shares = [
        (Share(numbers[stack.part], Limits((stack.units,), structure=LAYERS.name), nests=True), [stack])
        for stack in own.blocks
    ]
    # a stack that keeps all its layers has no choice to make
    return [(share if share.keep < share.units else replace(share.fixed(), nests=True), own) for share, own in shares]


class Remaining:
    """What is in the layers that will be left, before it is known which layers these are."""

    def __init__(self, inventory: Inventory, numbers: Mapping[str, int]):
        self.numbers = dict(numbers)  # of layers, by part of the model
        self._stacks = {block.part: block for block in inventory.blocks if STRUCTURES[block.structure].nests}

    def closed(self, blocks: Sequence[Block], most: bool = False) -> list[bool]:
        """For each block whether its layer is removed, if those are left that have the fewest units, or the most."""
        units: dict[str, dict[int, int]] = {
            part: dict.fromkeys(stack.indices, 0) for part, stack in self._stacks.items()
        }
        for block in blocks:
            if block.layer in units.get(block.part, {}):
                units[block.part][block.layer] += block.units
        left = {
            part: sorted(of_layers, key=lambda layer: of_layers[layer], reverse=most)[: self.numbers[part]]
            for part, of_layers in units.items()
        }
        return [block.part in left and block.layer not in left[block.part] for block in blocks]

    def blocks(self, blocks: Sequence[Block]) -> list[Block]:
        """The blocks that are left, as a count of units and costs.

        Raises BadInput when the layers of a stack differ, so that this depends on which are left.
        """
        few, many = self.closed(blocks), self.closed(blocks, most=True)
        counts = [sum(b.units for b, shut in zip(blocks, closed, strict=True) if not shut) for closed in (few, many)]
        if counts[0] != counts[1]:
            noun = STRUCTURES[blocks[0].structure].noun
            raise BadInput(
                f"{OPTION} with --parameters-to-keep and --{blocks[0].structure}-to-keep: layers differ in the number "
                f"of {noun} left, so what they cost depends on which are kept; leave one of the three out"
            )
        return [block for block, shut in zip(blocks, few, strict=True) if not shut]

    def problems(self, share: Share, blocks: Sequence[Block], given: str) -> list[str]:
        """Why a number of units, ``given`` as text, cannot be met in the layers that are left, with the arithmetic."""
        few, many = (share.pool.without(self.closed(blocks, most), share.keep)[0] for most in (False, True))
        if share.keep <= few.total:
            return list(dict.fromkeys([*few.problems(share.keep), *many.problems(share.keep)]))
        left = " + ".join(self._arithmetic(blocks))
        structure, count = blocks[0].structure, blocks[0].count
        return [
            f"--{structure}-to-keep {given}: {OPTION} leaves {few.total * count} {STRUCTURES[structure].noun} "
            f"({left}); keep at most {few.total * count}, or more layers"
        ]

    def _arithmetic(self, blocks: Sequence[Block]) -> list[str]:
        """For each stack how many layers are left, and how many heads or hidden units in them."""
        closed, lines = self.closed(blocks), []
        for part, stack in self._stacks.items():
            left = sum(b.units * b.count for b, shut in zip(blocks, closed, strict=True) if b.part == part and not shut)
            if any(block.part == part for block in blocks):
                lines.append(f"{left} in {self.numbers[part]} of {stack.units} layers of the {part}")
        return lines
