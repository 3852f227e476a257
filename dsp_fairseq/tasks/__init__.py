from .language_modeling_pruning import LanguageModelingPruningTask
from .translation_pruning import TranslationPruningTask

__all__ = ["LanguageModelingPruningTask", "TranslationPruningTask"]
