"""Checks what a checkpoint says of the units that were removed from its model."""

from collections.abc import Mapping, Sequence
from typing import Any

from dsp_fairseq_startup.errors import shown

from ..structures.ffn import FFN
from ..structures.nesting import inside_of_layers
from .family import known_ffn_kinds, original_inventory
from .values import is_whole


def kept_problems(options: Any) -> list[str]:
    """One line per block with a wrong entry in ``kept_heads``; all other options have values of the right type.

    Stacks of layers have no entry: layers that are removed are not counted by the other options any more. A checkpoint
    without any entry for hidden units had no gates on them, so they are all there.
    """
    kept = getattr(options, "kept_heads", None)
    if kept is None:
        return []
    inventory = inside_of_layers(original_inventory(options))
    original = inventory.indices()
    hidden = inventory.of_structure(FFN.name).indices()
    if isinstance(kept, Mapping) and not any(_is_feed_forward(name) for name in kept):
        kept = {**kept, **hidden}
    if not isinstance(kept, Mapping) or set(kept) != set(original):
        blocks = f"each of the {len(original)} blocks, such as {next(iter(original), '')}"
        return [f"kept_heads {shown(kept)}: must have an entry for {blocks}"]
    return [
        f"kept_heads of {name} {shown(heads)}: must be some of 0 to {len(original[name]) - 1}, ascending, each once"
        for name, heads in kept.items()
        if not isinstance(heads, Sequence)
        or isinstance(heads, str)
        or not all(map(is_whole, heads))
        or sorted(set(heads) & set(original[name])) != list(heads)
    ]


def _is_feed_forward(block: object) -> bool:
    return isinstance(block, str) and block.rpartition(".")[0] in known_ffn_kinds()
