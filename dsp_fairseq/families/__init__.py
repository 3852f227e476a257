"""Families: each binds the blocks of the inventory to one model class of fairseq, in one file."""

from .family import Family, family_named, family_of, inventory_of, original_inventory, register_family

__all__ = ["Family", "family_named", "family_of", "inventory_of", "original_inventory", "register_family"]
