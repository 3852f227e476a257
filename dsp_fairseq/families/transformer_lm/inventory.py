"""Where the attention heads and the feed-forward units of a Transformer language model are."""

from argparse import Namespace

from ...structures.ffn import FFN
from ...structures.heads import HEADS
from ...structures.inventory import Block, Inventory
from ..transformer.inventory import group_of
from .words import FFN_KINDS, KINDS


def language_model_inventory(options: Namespace) -> Inventory:
    """All self-attention blocks, and the feed-forward blocks where an option is about their hidden units.

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
        )
        for layer in range(layers)
    ]
    if group is None:
        return Inventory(attention)
    units, cost = options.decoder_ffn_embed_dim // group, group * (2 * width + 1)
    feed_forward = [
        Block(FFN_KINDS[0], layer, f"decoder.layers.{layer}", units, tuple(range(units)), FFN.name, group, cost)
        for layer in range(layers)
    ]
    return Inventory([*attention, *feed_forward])
