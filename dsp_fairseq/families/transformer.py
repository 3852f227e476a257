"""The encoder-decoder Transformer: ``gated_transformer``, and fairseq's own ``transformer``."""

from argparse import Namespace

from ..structures.heads import HEADS
from ..structures.inventory import Block, Inventory
from .family import Family, register_family

KINDS = ("encoder.self", "decoder.self", "decoder.cross")


def transformer_inventory(
    encoder_layers: int,
    encoder_heads: int,
    decoder_layers: int,
    decoder_heads: int,
    head_dims: tuple[int, int] = (1, 1),
) -> Inventory:
    """All attention blocks of an encoder-decoder whose decoder attends to itself and to the encoder.

    ``head_dims`` are the sizes of a head of the encoder and of the decoder, which only surgery asks for.

    >>> transformer_inventory(encoder_layers=1, encoder_heads=2, decoder_layers=1, decoder_heads=3).indices()
    {'encoder.self.0': [0, 1], 'decoder.self.0': [0, 1, 2], 'decoder.cross.0': [0, 1, 2]}
    """
    stacks = (
        ("encoder.layers.{}.self_attn", encoder_layers, encoder_heads, head_dims[0]),
        ("decoder.layers.{}.self_attn", decoder_layers, decoder_heads, head_dims[1]),
        ("decoder.layers.{}.encoder_attn", decoder_layers, decoder_heads, head_dims[1]),
    )
    return Inventory(
        Block(kind, layer, module.format(layer), heads, tuple(range(heads)), HEADS.name, width)
        for kind, (module, layers, heads, width) in zip(KINDS, stacks, strict=True)
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
            (
                options.encoder_embed_dim // options.encoder_attention_heads,
                options.decoder_embed_dim // options.decoder_attention_heads,
            ),
        )
