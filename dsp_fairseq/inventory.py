"""Which attention blocks and heads a model has, in the one order used everywhere.

A block is one attention module. Its kind is ``encoder.self``, ``decoder.self`` or
``decoder.cross``. All heads of all blocks form one flat vector of length H: kinds in that order,
layers ascending, heads ascending.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

KINDS = ("encoder.self", "decoder.self", "decoder.cross")


# where fairseq keeps the attention module of a block
_MODULES = {
    "encoder.self": "encoder.layers.{}.self_attn",
    "decoder.self": "decoder.layers.{}.self_attn",
    "decoder.cross": "decoder.layers.{}.encoder_attn",
}


@dataclass(frozen=True)
class Block:
    """One attention module: its kind, its layer (from 0) and its heads.

    ``original_heads`` is the number that the architecture gives it; ``indices`` are those that are
    there, ascending: all of them, until some are removed.
    """

    kind: str
    layer: int
    original_heads: int
    indices: tuple[int, ...]

    @property
    def heads(self) -> int:
        return len(self.indices)

    @property
    def name(self) -> str:
        return f"{self.kind}.{self.layer}"

    @property
    def module(self) -> str:
        """Name of the module in the model and prefix of its weights in a state dict."""
        return _MODULES[self.kind].format(self.layer)


class Inventory:
    """All blocks of a model in flat order.

    >>> inventory = Inventory.of_transformer(encoder_layers=1, encoder_heads=2, decoder_layers=1, decoder_heads=2)
    >>> inventory.heads
    6
    >>> inventory.keeping([True, False, False, True, False, False]).indices()
    {'encoder.self.0': [0], 'decoder.self.0': [1], 'decoder.cross.0': []}
    """

    def __init__(self, blocks: Iterable[Block]):
        self.blocks: tuple[Block, ...] = tuple(blocks)

    @classmethod
    def of_transformer(
        cls, encoder_layers: int, encoder_heads: int, decoder_layers: int, decoder_heads: int
    ) -> "Inventory":
        """Blocks of an encoder-decoder whose decoder attends to itself and to the encoder."""
        sizes = {
            "encoder.self": (encoder_layers, encoder_heads),
            "decoder.self": (decoder_layers, decoder_heads),
            "decoder.cross": (decoder_layers, decoder_heads),
        }
        return cls(
            Block(kind, layer, heads, tuple(range(heads)))
            for kind, (layers, heads) in sizes.items()
            for layer in range(layers)
        )

    @property
    def heads(self) -> int:
        """H, the number of heads of the whole model."""
        return sum(block.heads for block in self.blocks)

    @property
    def original_heads(self) -> int:
        """H before any head was removed."""
        return sum(block.original_heads for block in self.blocks)

    def indices(self) -> dict[str, list[int]]:
        """Original indices of the heads that are there, by the name of their block."""
        return {block.name: list(block.indices) for block in self.blocks}

    def only(self, indices: Mapping[str, Iterable[int]]) -> "Inventory":
        """The same blocks with only the heads of these original indices (see :meth:`indices`)."""
        return Inventory(replace(block, indices=tuple(indices[block.name])) for block in self.blocks)

    def keeping(self, mask: Sequence[bool]) -> "Inventory":
        """The same blocks with only the heads that are True in a flat mask [H]."""
        pieces = self.split(list(mask))
        return Inventory(
            replace(block, indices=tuple(i for i, kept in zip(block.indices, piece, strict=True) if kept))
            for block, piece in zip(self.blocks, pieces, strict=True)
        )

    @property
    def sizes(self) -> list[int]:
        """Heads per block, in flat order."""
        return [block.heads for block in self.blocks]

    def split(self, flat: Sequence) -> list[Sequence]:
        """Cut a flat sequence of length H into one piece per block."""
        pieces, start = [], 0
        for size in self.sizes:
            pieces.append(flat[start : start + size])
            start += size
        return pieces

    def kept_per_kind(self, mask: Sequence[bool]) -> "dict[str, int]":
        """Open heads per kind, given a flat mask [H]."""
        kept = dict.fromkeys(KINDS, 0)
        for block, piece in zip(self.blocks, self.split(list(mask)), strict=True):
            kept[block.kind] += sum(map(bool, piece))
        return kept


def uniform_order(inventory: Inventory) -> list[int]:
    """Flat indices of all heads, in the order in which a uniform choice takes them.

    The first head of every block comes before the second of any; within one round
    decoder.cross comes first, then decoder.self, then encoder.self; earlier layers first.
    The first K of this order are K heads spread evenly over the blocks.

    >>> inventory = Inventory.of_transformer(encoder_layers=1, encoder_heads=2, decoder_layers=1, decoder_heads=2)
    >>> uniform_order(inventory)  # first heads of decoder.cross, decoder.self, encoder.self, then second ones
    [4, 2, 0, 5, 3, 1]
    """
    keyed, start = [], 0
    for block in inventory.blocks:
        rank = -KINDS.index(block.kind)
        keyed += [(head, rank, block.layer, start + head) for head in range(block.heads)]
        start += block.heads
    return [entry[-1] for entry in sorted(keyed)]
