"""What a removal of units does to the blocks of a model, in words, for the commands that print it."""

from tabulate import tabulate

from .structures.inventory import Block, Inventory
from .structures.structure import STRUCTURES


def removal_table(before: Inventory, after: Inventory) -> str:
    """A Markdown table with a row for each block: its heads or hidden units before and after, and which are kept."""
    rows = [
        [old.name, f"{old.units * old.count} => {new.units * new.count}", _kept(new)]
        for old, new in zip(before.blocks, after.blocks, strict=True)
    ]
    header = ["block", ", ".join(before.nouns), "kept (original index)"]
    return tabulate(rows, header, tablefmt="github", disable_numparse=True)


def count_lines(before: Inventory, after: Inventory) -> list[str]:
    """A line such as ``heads: 36 => 12 of 36`` for each structure; the last number is the architecture's."""
    original = before.original()
    lines = []
    for name in before.structures:
        there, left, first = (
            " + ".join(str(block.units) for block in inventory.of_structure(name).blocks)
            if STRUCTURES[name].nests
            else str(inventory.count_of(name))
            for inventory in (before, after, original)
        )
        lines.append(f"{STRUCTURES[name].noun}: {there} => {left} of {first}")
    return lines


def left_in_words(inventory: Inventory) -> str:
    """What is left of the architecture, such as ``12 of 36 heads and 512 of 1536 hidden units``."""
    *others, last = [inventory.fractions_in_words(name) for name in inventory.structures]
    return " and ".join(filter(None, [", ".join(others), last]))


def _kept(block: Block) -> str:
    """The original indices of the units of a block; hidden units, of which there are many, as ranges."""
    if block.count == 1:
        return " ".join(map(str, block.indices)) or "none"
    ranges: list[list[int]] = []
    for group in block.indices:
        first = group * block.count
        if ranges and ranges[-1][1] == first:
            ranges[-1][1] += block.count
        else:
            ranges.append([first, first + block.count])
    return " ".join(f"{first}-{end - 1}" for first, end in ranges) or "none"
