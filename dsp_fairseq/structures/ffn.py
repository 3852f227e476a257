"""Hidden units of a feed-forward block: each owns a row of fc1, its bias, and a column of fc2.

Units are removed in groups, because matrix products are fast for widths that are multiples of a power of two. The bias
of fc2 belongs to the block: a feed-forward block without units outputs that bias.
"""

from .structure import register_structure

FFN = register_structure(
    "ffn",
    [("fc1.weight", 0), ("fc1.bias", 0), ("fc2.weight", 1)],
    "hidden units",
    carrier="feed_forward",
    essential=("fc1", "fc2"),
    counted_by_entry=True,
)
