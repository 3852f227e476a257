"""Attention heads: a head of size d owns d rows of q_proj, k_proj and v_proj, and d columns of out_proj.

The bias of the output projection belongs to the block: an attention block without heads outputs this bias.
"""

from .structure import register_structure

HEADS = register_structure(
    "heads",
    [
        *((f"{projection}.{part}", 0) for projection in ("q_proj", "k_proj", "v_proj") for part in ("weight", "bias")),
        ("out_proj.weight", 1),
    ],
    "heads",
    output="out_proj.weight",
    essential=("v_proj", "out_proj"),
)
