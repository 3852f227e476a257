from .gated_attention import GatedMultiheadAttention
from .gated_layers import GatedDecoderLayer, GatedEncoderLayer

__all__ = ["GatedDecoderLayer", "GatedEncoderLayer", "GatedMultiheadAttention"]
