"""What a checkpoint keeps, as text."""

from tabulate import tabulate

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
    header = ["kind", "all layers", *(f"layer {layer}" for layer in range(layers))]
    rows = [[kind, str(kept.per_kind[kind]), *cells] for kind, cells in counts.items()]
    total = f"{int(kept.mask.sum())} of {kept.inventory.heads} heads kept"
    return tabulate(rows, header, tablefmt="github", disable_numparse=True) + "\n" + total
