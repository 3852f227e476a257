"""Families: each binds the blocks of the inventory to one model class of fairseq, in one file or folder."""

from . import transformer  # noqa: F401 (registers)
from .family import (
    Family,
    architecture_of,
    families,
    family_named,
    family_of,
    inventory_of,
    is_gated,
    known_family,
    known_kinds,
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
    "known_kinds",
    "known_models",
    "original_inventory",
    "register_family",
]
