from .translation_pruning import TranslationPruningTask

__all__ = ["TranslationPruningTask"]
