"""The encoder-decoder Transformer: ``gated_transformer``, and fairseq's own ``transformer``."""

from .words import FFN_KINDS, HELP, KINDS, STACKS

__all__ = ["FFN_KINDS", "HELP", "KINDS", "STACKS"]
