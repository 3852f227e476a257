"""Mixins that let any fairseq task and criterion carry the gates of a model (see docs/life-of-an-update.md)."""

from .criterion import PruningCriterion
from .task import PruningTask

__all__ = ["PruningCriterion", "PruningTask"]
