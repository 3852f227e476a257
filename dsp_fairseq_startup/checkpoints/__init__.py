"""Checkpoints are read safely, written whole or not at all, and blamed by name for what is wrong with them."""

from .load import CHECKS, load_checkpoint

__all__ = ["CHECKS", "load_checkpoint"]
