"""The heads of an all-attention layer: each owns its share of every weight of the layer but the output bias.

A head of size d with N persistent vectors in a model of width D owns d rows of the projections of queries, keys, values
and distances, d columns of the output projection, d numbers of the two biases of queries, and N keys and values of
size d. All of them lie along axes on which a head has d entries.
"""

from .heads import HEADS
from .structure import register_layout

LAYOUT = "all-attention"
ALL_ATTENTION_HEADS = register_layout(
    LAYOUT,
    HEADS,
    [
        *((f"{projection}.weight", 0) for projection in ("q_proj", "k_proj", "v_proj", "r_proj")),
        ("query_bias.content", 0),
        ("query_bias.position", 0),
        ("persistent.keys", 1),
        ("persistent.values", 1),
        ("out_proj.weight", 1),
    ],
)


def cost_of_head(width: int, size: int, persistent: int) -> int:
    """Parameters that a head owns.

    >>> cost_of_head(512, 64, 2000)  # as published
    419968
    """
    return size * (5 * width + 2 + 2 * persistent)
