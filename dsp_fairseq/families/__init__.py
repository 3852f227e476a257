"""Families: each binds the blocks of the inventory to one model class of fairseq, in one file or folder.

The names below are imported, and the package's families registered, when one of them is first asked for: the help of
commands reads ``transformer/words.py`` without waiting for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .family import (
        Family,
        architecture_of,
        families,
        family_named,
        family_of,
        inventory_of,
        is_gated,
        known_family,
        known_ffn_kinds,
        known_kinds,
        known_layer_kinds,
        known_models,
        original_inventory,
        register_family,
    )

__all__ = [
    "Family",
    "architecture_of",
    "families",
    "family_named",
    "family_of",
    "inventory_of",
    "is_gated",
    "known_family",
    "known_ffn_kinds",
    "known_kinds",
    "known_layer_kinds",
    "known_models",
    "original_inventory",
    "register_family",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    for family in ("transformer", "transformer_lm", "all_attention_lm"):
        import_module(f".{family}.family", __name__)  # registers
    return getattr(import_module(".family", __name__), name)
