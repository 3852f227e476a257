"""Where the attention heads, the feed-forward units and the layers of a Transformer language model are."""

from argparse import Namespace

from ...structures.heads import HEADS
from ...structures.inventory import Block, Inventory
from ..transformer.inventory import feed_forward_inventory, group_of, layer_inventory
from .words import FFN_KINDS, KINDS, LAYER_KINDS


def language_model_inventory(options: Namespace) -> Inventory:
    """All self-attention blocks; feed-forward blocks and layers where an option is about hidden units or layers.

    >>> shape = {"decoder_layers": 2, "decoder_attention_heads": 2, "decoder_embed_dim": 8}
    >>> language_model_inventory(Namespace(**shape)).indices()
    {'decoder.self.0': [0, 1], 'decoder.self.1': [0, 1]}
    """
    layers, heads, width = (getattr(options, f"decoder_{part}") for part in ("layers", "attention_heads", "embed_dim"))
    size, group = width // heads, group_of(options)
    attention = [
        Block(
            KINDS[0],
            layer,
            f"decoder.layers.{layer}.self_attn",
            heads,
            tuple(range(heads)),
            HEADS.name,
            size,
            size * (4 * width + 3),
            widths=(width, width),
        )
        for layer in range(layers)
    ]
    hidden = [] if group is None else feed_forward_inventory(options, group, FFN_KINDS).blocks
    return Inventory([*attention, *hidden, *layer_inventory(options, LAYER_KINDS).blocks])
