"""What a removal of units does to the blocks of a model, in words, for the commands that print it."""

from tabulate import tabulate

from .structures.inventory import Block, Inventory
from .structures.structure import STRUCTURES
from .structures.zero_weights import ZeroWeights

MOST_RANGES = 12  # of hidden units of a block, in a table


def removal_table(before: Inventory, after: Inventory) -> str:
    """A Markdown table with a row for each block: its units before and after, and which are kept."""
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


def zero_lines(zeros: ZeroWeights | None, filled: int = 0) -> list[str]:
    """What the matrices of the blocks hold, in one line, or none where ``zeros`` is None.

    Zeros that are stored save neither memory nor time, which the line says.
    """
    if zeros is None:
        return []
    line = f"weights of the blocks: {zeros.stored:,} of {zeros.original:,} stored"
    if filled:
        return [f"{line}; {filled:,} of them were 0 and are small random numbers now"]
    share = zeros.zero / max(1, zeros.stored)
    return [f"{line}, {zeros.zero:,} of them 0 ({share:.1%}), which are multiplied like all others"]


def left_in_words(inventory: Inventory) -> str:
    """What is left of the architecture, such as ``12 of 36 heads and 512 of 1536 hidden units``."""
    *others, last = [inventory.fractions_in_words(name) for name in inventory.structures]
    return " and ".join(filter(None, [", ".join(others), last]))


def _kept(block: Block) -> str:
    """The original indices of the units of a block; hidden units, of which there are many, as ranges."""
    if not STRUCTURES[block.structure].counted_by_entry:
        return " ".join(map(str, block.indices)) or "none"
    ranges: list[list[int]] = []
    for group in block.indices:
        first = group * block.count
        if ranges and ranges[-1][1] == first:
            ranges[-1][1] += block.count
        else:
            ranges.append([first, first + block.count])
    texts = [f"{first}-{end - 1}" if end - first > 1 else str(first) for first, end in ranges]
    shown = texts if len(texts) <= MOST_RANGES else [*texts[: MOST_RANGES - 1], "...", texts[-1]]
    return " ".join(shown) or "none"
