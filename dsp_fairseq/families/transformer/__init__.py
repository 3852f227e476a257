"""The encoder-decoder Transformer: ``gated_transformer``, and fairseq's own ``transformer``."""

from .family import TransformerFamily
from .inventory import KINDS, transformer_inventory

__all__ = ["KINDS", "TransformerFamily", "transformer_inventory"]
