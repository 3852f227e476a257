from . import gated_transformer  # isort: skip (registers the model that the next line names shapes of)
from . import architectures

__all__ = ["architectures", "gated_transformer"]
