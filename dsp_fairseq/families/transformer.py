"""The encoder-decoder Transformer: ``gated_transformer``, and fairseq's own ``transformer``."""

from argparse import Namespace

from ..structures.inventory import Block, Inventory
from .family import Family, register_family

KINDS = ("encoder.self", "decoder.self", "decoder.cross")


def transformer_inventory(
    encoder_layers: int, encoder_heads: int, decoder_layers: int, decoder_heads: int
) -> Inventory:
    """All attention blocks of an encoder-decoder whose decoder attends to itself and to the encoder.

    >>> transformer_inventory(encoder_layers=1, encoder_heads=2, decoder_layers=1, decoder_heads=3).indices()
    {'encoder.self.0': [0, 1], 'decoder.self.0': [0, 1, 2], 'decoder.cross.0': [0, 1, 2]}
    """
    stacks = (
        ("encoder.layers.{}.self_attn", encoder_layers, encoder_heads),
        ("decoder.layers.{}.self_attn", decoder_layers, decoder_heads),
        ("decoder.layers.{}.encoder_attn", decoder_layers, decoder_heads),
    )
    return Inventory(
        Block(kind, layer, module.format(layer), heads, tuple(range(heads)))
        for kind, (module, layers, heads) in zip(KINDS, stacks, strict=True)
        for layer in range(layers)
    )


@register_family
class TransformerFamily(Family):
    """Encoder and decoder of ``fairseq.models.transformer``."""

    model = "gated_transformer"
    stock = "transformer"

    def original_inventory(self, options: Namespace) -> Inventory:
        return transformer_inventory(
            options.encoder_layers,
            options.encoder_attention_heads,
            options.decoder_layers,
            options.decoder_attention_heads,
        )
