"""Where the attention heads and the feed-forward units of an encoder-decoder Transformer are."""

from argparse import Namespace
from collections.abc import Sequence

from ...gates.methods import METHODS
from ...structures.ffn import FFN
from ...structures.heads import HEADS
from ...structures.inventory import Block, Inventory
from ...structures.layers import LAYERS, even_order, numbers_in
from .words import FFN_KINDS, KINDS, LAYER_KINDS

DEFAULT_GROUP = 64  # hidden units


def transformer_inventory(
    encoder_layers: int,
    encoder_heads: int,
    decoder_layers: int,
    decoder_heads: int,
    head_dims: tuple[int, int] = (1, 1),
) -> Inventory:
    """All attention blocks of an encoder-decoder whose decoder attends to itself and to the encoder.

    ``head_dims`` are the sizes of a head of the encoder and of the decoder, which surgery and costs ask for.

    >>> transformer_inventory(encoder_layers=1, encoder_heads=2, decoder_layers=1, decoder_heads=3).indices()
    {'encoder.self.0': [0, 1], 'decoder.self.0': [0, 1, 2], 'decoder.cross.0': [0, 1, 2]}
    """
    encoder_width, decoder_width = encoder_heads * head_dims[0], decoder_heads * head_dims[1]
    # name of the module, layers, heads, size of a head, width of what queries and output have, and of keys and values
    stacks = (
        ("encoder.layers.{}.self_attn", encoder_layers, encoder_heads, head_dims[0], encoder_width, encoder_width),
        ("decoder.layers.{}.self_attn", decoder_layers, decoder_heads, head_dims[1], decoder_width, decoder_width),
        ("decoder.layers.{}.encoder_attn", decoder_layers, decoder_heads, head_dims[1], decoder_width, encoder_width),
    )
    return Inventory(
        Block(
            kind,
            layer,
            module.format(layer),
            heads,
            tuple(range(heads)),
            HEADS.name,
            size,
            size * (2 * outer + 2 * inner + 3),
            widths=(outer, inner),
        )
        for kind, (module, layers, heads, size, outer, inner) in zip(KINDS, stacks, strict=True)
        for layer in range(layers)
    )


def feed_forward_inventory(options: Namespace, group: int, kinds: Sequence[str] = FFN_KINDS) -> Inventory:
    """All feed-forward blocks of these kinds; a unit is a group of so many hidden units."""
    blocks = []
    for kind in kinds:
        stack = kind.partition(".")[0]
        width, hidden, layers = (
            getattr(options, f"{stack}_{part}") for part in ("embed_dim", "ffn_embed_dim", "layers")
        )
        units, cost = hidden // group, group * (2 * width + 1)
        blocks += [
            Block(
                kind,
                layer,
                f"{stack}.layers.{layer}",
                units,
                tuple(range(units)),
                FFN.name,
                group,
                cost,
                widths=(width, width),
            )
            for layer in range(layers)
        ]
    return Inventory(blocks)


def layer_inventory(options: Namespace, kinds: Sequence[str] = LAYER_KINDS) -> Inventory:
    """All stacks of layers, of these kinds, when an option asks for a number of layers; else no block.

    The uniform choice spreads that number evenly over the depth.
    """
    value = getattr(options, "layers_to_keep", None)
    if value is None:
        return Inventory([])
    numbers, blocks = numbers_in(value), []
    for kind in kinds:
        stack = kind.partition(".")[0]
        layers = getattr(options, f"{stack}_layers")
        order = even_order(layers, numbers.get(stack, layers))
        blocks.append(Block(kind, 0, stack, layers, tuple(range(layers)), LAYERS.name, 1, order=order))
    return Inventory(blocks)


def group_of(options: Namespace) -> int | None:
    """Hidden units that are removed together, as options say; None when no option is about feed-forward blocks."""
    group = getattr(options, "ffn_group", None)
    method = METHODS.get(getattr(options, "pruning_method", None) or "")
    if group is None and method is not None and method.scores_weights:
        return 1  # masks of weights leave single hidden units
    options_of_ffn = ("ffn_to_keep", "parameters_to_keep", "min_ffn_per_block", "max_ffn_per_block")
    kinds = str(getattr(options, "prunable", None) or "").split(",")
    if group is None and (
        set(FFN_KINDS) & set(kinds) or any(getattr(options, n, None) is not None for n in options_of_ffn)
    ):
        return DEFAULT_GROUP
    return group
