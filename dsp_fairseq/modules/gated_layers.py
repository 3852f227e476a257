"""fairseq's Transformer layers with gated attention."""

from fairseq.modules.transformer_layer import (
    TransformerDecoderLayerBase,
    TransformerEncoderLayerBase,
)

from .gated_attention import GatedMultiheadAttention

# fairseq registers a second copy of every weight of an encoder layer, for a fast path of torch's that gated
# attention does not take (and that fails on torch >= 1.13)
_FAST_PATH_COPIES = tuple(
    f"{name}_{part}" for name in ("in_proj", "out_proj", "fc1", "fc2") for part in ("weight", "bias")
)


class GatedEncoderLayer(TransformerEncoderLayerBase):
    """Encoder layer with gated self-attention and no second copy of its weights."""

    def __init__(self, cfg, return_fc=False):
        super().__init__(cfg, return_fc)
        self.can_use_fastpath = False
        for name in _FAST_PATH_COPIES:
            delattr(self, name)

    def build_self_attention(self, embed_dim, cfg):
        return GatedMultiheadAttention(
            embed_dim,
            cfg.encoder.attention_heads,
            dropout=cfg.attention_dropout,
            self_attention=True,
        )

    def upgrade_state_dict_named(self, state_dict, name):
        super().upgrade_state_dict_named(state_dict, name)
        for copy in _FAST_PATH_COPIES:
            state_dict.pop(f"{name}.{copy}", None)

    def _load_from_state_dict(self, *args, **kwargs):
        # skip the method of the base class, which would create the copies again
        super(TransformerEncoderLayerBase, self)._load_from_state_dict(*args, **kwargs)


class GatedDecoderLayer(TransformerDecoderLayerBase):
    """Decoder layer with gated self-attention and gated cross-attention."""

    def build_self_attention(self, embed_dim, cfg, add_bias_kv=False, add_zero_attn=False):
        return GatedMultiheadAttention(
            embed_dim,
            cfg.decoder.attention_heads,
            dropout=cfg.attention_dropout,
            self_attention=True,
        )

    def build_encoder_attention(self, embed_dim, cfg):
        return GatedMultiheadAttention(
            embed_dim,
            cfg.decoder.attention_heads,
            kdim=cfg.encoder.embed_dim,
            vdim=cfg.encoder.embed_dim,
            dropout=cfg.attention_dropout,
            encoder_decoder_attention=True,
        )
