"""What a checkpoint keeps, as text."""

from .checkpoint import KeptHeads
from .inventory import KINDS


def table(kept: KeptHeads) -> str:
    """Heads kept per block: a row per kind, a column per layer.

    A number is the heads kept of the block's heads; the total is exactly K.
    """
    counts = {kind: [] for kind in KINDS}
    for block, count in zip(kept.inventory.blocks, kept.per_block):
        counts[block.kind].append(f"{count}/{block.heads}")
    layers = max(map(len, counts.values()))
    header = ["kind", *(f"layer {layer}" for layer in range(layers)), "all"]
    rows = [
        [kind, *cells, *[""] * (layers - len(cells)), str(kept.per_kind[kind])]
        for kind, cells in counts.items()
    ]
    widths = [max(map(len, column)) for column in zip(header, *rows)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in [header, *rows]]
    total = f"{int(kept.mask.sum())} of {kept.inventory.heads} heads kept"
    return "\n".join([*lines, total])
