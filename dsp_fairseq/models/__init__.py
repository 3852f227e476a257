from . import gated_transformer  # isort: skip (registers the model; the next line registers its architectures)
from . import architectures

__all__ = ["architectures", "gated_transformer"]
