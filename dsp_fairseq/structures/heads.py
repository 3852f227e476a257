"""Attention heads: a head of size d owns d rows of the query, key and value projections and d columns of the output's.

The bias of the output projection belongs to the block: an attention block without heads outputs that bias.
"""

from .structure import register_structure

HEADS = register_structure(
    "heads",
    [
        *((f"{projection}.{part}", 0) for projection in ("q_proj", "k_proj", "v_proj") for part in ("weight", "bias")),
        ("out_proj.weight", 1),
    ],
    "heads",
)
