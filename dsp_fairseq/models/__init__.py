from . import gated_transformer, gated_transformer_lm, all_attention_lm  # isort: skip (then their architectures)
from . import architectures, language_model_architectures

__all__ = [
    "all_attention_lm",
    "architectures",
    "gated_transformer",
    "gated_transformer_lm",
    "language_model_architectures",
]
