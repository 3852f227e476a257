"""Where the attention heads, the feed-forward units and the layers of a Transformer language model are."""

from argparse import Namespace

from ...structures.ffn import FFN
from ...structures.heads import HEADS
from ...structures.inventory import Block, Inventory
from ..transformer.inventory import group_of, layer_inventory
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
    stacks = layer_inventory(options, LAYER_KINDS).blocks
    if group is None:
        return Inventory([*attention, *stacks])
    units, cost = options.decoder_ffn_embed_dim // group, group * (2 * width + 1)
    feed_forward = [
        Block(
            FFN_KINDS[0],
            layer,
            f"decoder.layers.{layer}",
            units,
            tuple(range(units)),
            FFN.name,
            group,
            cost,
            widths=(width, width),
        )
        for layer in range(layers)
    ]
    return Inventory([*attention, *feed_forward, *stacks])
