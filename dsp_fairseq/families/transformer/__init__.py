"""The encoder-decoder Transformer: ``gated_transformer``, and fairseq's own ``transformer``."""

from .words import HELP, KINDS, STACKS

__all__ = ["HELP", "KINDS", "STACKS"]
