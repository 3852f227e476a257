from . import gated_transformer, gated_transformer_lm  # isort: skip (registers models; then their architectures)
from . import architectures, language_model_architectures

__all__ = ["architectures", "gated_transformer", "gated_transformer_lm", "language_model_architectures"]
