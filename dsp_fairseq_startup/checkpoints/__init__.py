"""Mends for checkpoints: they are read safely, written whole or not at all, and named in the messages about them."""

from .load import CHECKS, load_checkpoint

__all__ = ["CHECKS", "load_checkpoint"]
