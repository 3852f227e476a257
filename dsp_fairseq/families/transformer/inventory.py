"""Where the attention heads of an encoder-decoder Transformer are."""

from ...structures.heads import HEADS
from ...structures.inventory import Block, Inventory
from .words import KINDS


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
