"""The inventory: the blocks of a model that have prunable units, in the order that every flat vector follows.

A block is one module from which units can be removed, such as an attention module with its heads. Its kind names its
part of the model and its role there (``stack.self``), its structure names its units (``heads``). The flat order of all
units is: kinds in the order of the family, within a kind layers ascending, within a layer units ascending.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from .structure import LAYOUTS, STRUCTURES, Structure

T = TypeVar("T")


@dataclass(frozen=True)
class Block:
    """One module with prunable units, some of which may have been removed already."""

    kind: str
    layer: int  # from 0
    module: str  # name of the module in the model, and prefix of its weights in a state dict
    original_units: int  # number of units that the architecture gives the module
    indices: tuple[int, ...]  # original indices of the units that are not removed, ascending
    structure: str
    width: int  # entries that each unit owns along the axis of a slice (see structure.py); for a head its size d
    cost: int = 1  # number of parameters that one unit owns
    layout: str | None = None  # where the module has its parameters, if not where the structure says (see LAYOUTS)
    # width of queries and outputs, and of keys and values; of a feed-forward block both are its own; 0: not known
    widths: tuple[int, int] = (0, 0)
    # original indices in the order in which a uniform choice takes the units; empty: ascending
    order: tuple[int, ...] = ()

    @property
    def units(self) -> int:
        """Number of units that are not removed."""
        return len(self.indices)

    @property
    def owned(self) -> Structure:
        """The structure with the slices of weights that the units of this block own."""
        return STRUCTURES[self.structure] if self.layout is None else LAYOUTS[self.layout]

    @property
    def count(self) -> int:
        """By how much one unit counts in budgets and tables: a head by 1, a group of hidden units by its size."""
        return self.width if STRUCTURES[self.structure].counted_by_entry else 1

    @property
    def original_length(self) -> int:
        """Number of entries along the axis of a slice before any unit was removed."""
        return self.original_units * self.width

    @property
    def part(self) -> str:
        """The part of the model that the block is in, which is the text before the dot of its kind."""
        return self.kind.partition(".")[0]

    @property
    def name(self) -> str:
        return self.kind if STRUCTURES[self.structure].nests else f"{self.kind}.{self.layer}"

    @property
    def places(self) -> list[int]:
        """Place of each unit in the order in which a uniform choice takes them."""
        return [self.order.index(unit) for unit in self.indices] if self.order else list(range(self.units))


class Inventory:
    """All blocks of a model in flat order.

    >>> inventory = Inventory(Block(kind, 0, f"{kind}_attn", 2, (0, 1), "heads", 8) for kind in ("self", "cross"))
    >>> inventory.units
    4
    >>> inventory.keeping([True, False, False, False]).indices()
    {'self.0': [0], 'cross.0': []}
    """

    def __init__(self, blocks: Iterable[Block]):
        self.blocks: tuple[Block, ...] = tuple(blocks)

    @property
    def kinds(self) -> tuple[str, ...]:
        """All kinds of block, in flat order."""
        return tuple(dict.fromkeys(block.kind for block in self.blocks))

    @property
    def units(self) -> int:
        """Number of units in the whole model that are not removed: H."""
        return sum(block.units for block in self.blocks)

    @property
    def original_units(self) -> int:
        """Number of units in the whole model before any was removed."""
        return sum(block.original_units for block in self.blocks)

    @property
    def sizes(self) -> list[int]:
        """Number of units of each block, in flat order."""
        return [block.units for block in self.blocks]

    def indices(self) -> dict[str, list[int]]:
        """Original indices of the units that are not removed, by the name of their block."""
        return {block.name: list(block.indices) for block in self.blocks}

    def only(self, indices: Mapping[str, Iterable[int]]) -> "Inventory":
        """The same blocks with only the units of the given original indices, by name of block as in :meth:`indices`."""
        return Inventory(replace(block, indices=tuple(indices[block.name])) for block in self.blocks)

    def in_single_units(self) -> "Inventory":
        """The same blocks with their groups of hidden units taken apart: every unit is one hidden unit.

        >>> grouped = Inventory([Block("ffn", 0, "layer", 3, (0, 2), "ffn", 2, cost=10)])
        >>> grouped.in_single_units().indices(), grouped.in_single_units().blocks[0].cost
        ({'ffn.0': [0, 1, 4, 5]}, 5)
        """
        return Inventory(
            block
            if block.count == 1
            else replace(
                block,
                original_units=block.original_units * block.width,
                indices=tuple(group * block.width + unit for group in block.indices for unit in range(block.width)),
                width=1,
                cost=block.cost // block.width,
            )
            for block in self.blocks
        )

    def keeping(self, mask: Sequence[bool]) -> "Inventory":
        """The same blocks with only the units that are True in a flat mask [units]."""
        pieces = self.split(list(mask))
        return Inventory(
            replace(block, indices=tuple(i for i, kept in zip(block.indices, piece, strict=True) if kept))
            for block, piece in zip(self.blocks, pieces, strict=True)
        )

    def original(self) -> "Inventory":
        """The same blocks with all the units that the architecture gives them."""
        return Inventory(replace(block, indices=tuple(range(block.original_units))) for block in self.blocks)

    def split(self, flat: Sequence[T]) -> list[Sequence[T]]:
        """Cut a flat sequence [units] into one piece per block."""
        pieces, start = [], 0
        for size in self.sizes:
            pieces.append(flat[start : start + size])
            start += size
        return pieces

    def kept_per_kind(self, mask: Sequence[bool]) -> dict[str, int]:
        """Numbers of heads, hidden units or layers of each kind that are True in a flat mask [units]."""
        kept = dict.fromkeys(self.kinds, 0)
        for block, piece in zip(self.blocks, self.split(list(mask)), strict=True):
            kept[block.kind] += sum(map(bool, piece)) * block.count
        return kept

    def kept_in_words(self, mask: Sequence[bool]) -> str:
        """What is True in a flat mask, such as ``3 of 8 heads (self 1, cross 2), 64 of 256 hidden units (ffn 64)``."""
        kept, original = self.kept_per_kind(mask), self.original()
        parts = []
        for structure in self.structures:
            own = self.of_structure(structure)
            if STRUCTURES[structure].nests:
                parts.append(own.keeping(_piece(self, structure, mask)).fractions_in_words(structure))
                continue
            listed = ", ".join(f"{kind} {kept[kind]}" for kind in own.kinds)
            noun = STRUCTURES[structure].noun
            parts.append(f"{sum(kept[kind] for kind in own.kinds)} of {original.count_of(structure)} {noun} ({listed})")
        return ", ".join(parts)

    def fractions_in_words(self, structure: str) -> str:
        """What is left of the architecture: ``12 of 36 heads``, or of each stack, ``4 of 6 + 2 of 6 layers``."""
        own, noun = self.of_structure(structure), STRUCTURES[structure].noun
        if STRUCTURES[structure].nests:
            return " + ".join(f"{stack.units} of {stack.original_units}" for stack in own.blocks) + f" {noun}"
        return f"{self.count_of(structure)} of {self.original().count_of(structure)} {noun}"

    def count_of(self, structure: str) -> int:
        """Number of the heads, hidden units or layers that are there."""
        return sum(block.units * block.count for block in self.of_structure(structure).blocks)

    @property
    def nouns(self) -> list[str]:
        """What the units are called, by structure, such as heads and hidden units."""
        return [STRUCTURES[name].noun for name in self.structures]

    @property
    def noun(self) -> str:
        """What all units are called: ``heads`` where only heads have gates, ``units`` where several structures have."""
        return self.nouns[0] if len(self.nouns) == 1 else "units"

    @property
    def cuttable_kinds(self) -> tuple[str, ...]:
        """The kinds of block whose units own slices of weights: all but stacks of layers."""
        return tuple(dict.fromkeys(block.kind for block in self.blocks if not STRUCTURES[block.structure].nests))

    @property
    def of_structures_in_layers(self) -> tuple[str, ...]:
        """The structures of all blocks but stacks of layers, in flat order."""
        return tuple(name for name in self.structures if not STRUCTURES[name].nests)

    def of_structure(self, structure: str) -> "Inventory":
        """Only the blocks whose units are of one structure."""
        return Inventory(block for block in self.blocks if block.structure == structure)

    @property
    def structures(self) -> tuple[str, ...]:
        """The structures of all blocks, in flat order."""
        return tuple(dict.fromkeys(block.structure for block in self.blocks))


def uniform_order(inventory: Inventory) -> list[int]:
    """Flat indices of all units in the order in which a uniform choice takes them.

    The first units of all blocks come before the second units of all blocks, and so on. Among units with the same
    index later kinds come first, and within a kind earlier layers. So the first K units of the order are spread evenly
    over the blocks.

    >>> inventory = Inventory(Block(kind, 0, f"{kind}_attn", 2, (0, 1), "heads", 8) for kind in ("self", "cross"))
    >>> uniform_order(inventory)  # the first units of cross and self, then the second ones
    [2, 0, 3, 1]
    """
    keyed, start = [], 0
    for block in inventory.blocks:
        rank = -inventory.kinds.index(block.kind)
        keyed += [(place, rank, block.layer, start + unit) for unit, place in enumerate(block.places)]
        start += block.units
    return [entry[-1] for entry in sorted(keyed)]


def _piece(inventory: Inventory, structure: str, mask: Sequence[bool]) -> list[bool]:
    """The part of a flat mask [units] that is about one structure."""
    pieces = zip(inventory.blocks, inventory.split(list(mask)), strict=True)
    return [kept for block, piece in pieces if block.structure == structure for kept in piece]
