"""Checks what a checkpoint says of the units that were removed from its model."""

from collections.abc import Mapping, Sequence
from typing import Any

from dsp_fairseq_startup.errors import shown

from .family import original_inventory
from .values import is_whole


def kept_problems(options: Any) -> list[str]:
    """One line per block with wrong ``kept_heads``; all other options have values of the right type."""
    kept = getattr(options, "kept_heads", None)
    if kept is None:
        return []
    original = original_inventory(options).indices()
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
