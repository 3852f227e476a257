"""fairseq's Transformer layers with gated attention and gated feed-forward blocks."""

from fairseq.modules.transformer_layer import (
    TransformerDecoderLayerBase,
    TransformerEncoderLayerBase,
)

from .feed_forward import FeedForward, HiddenLinear
from .gated_attention import GatedMultiheadAttention
from .layer_gates import GatedLayer

# fairseq registers a second copy of every weight of an encoder layer, for a fast path of torch's that gated
# attention does not take (and that fails on torch >= 1.13)
_FAST_PATH_COPIES = tuple(
    f"{name}_{part}" for name in ("in_proj", "out_proj", "fc1", "fc2") for part in ("weight", "bias")
)


class _GatedFeedForward:
    """Mixin: the feed-forward block of a fairseq layer can be gated, by its ``feed_forward``."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.feed_forward = FeedForward(self.fc1, self.fc2)

    def build_fc1(self, input_dim, output_dim, q_noise, qn_block_size):
        return HiddenLinear(input_dim, output_dim, axis=0)

    def build_fc2(self, input_dim, output_dim, q_noise, qn_block_size):
        return HiddenLinear(input_dim, output_dim, axis=1)


class GatedEncoderLayer(GatedLayer, _GatedFeedForward, TransformerEncoderLayerBase):
    """Encoder layer with a gate, gated self-attention and feed-forward block, and no second copy of its weights."""

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

    def _as_output(self, x):
        return (x, None) if self.return_fc else x

    def upgrade_state_dict_named(self, state_dict, name):
        super().upgrade_state_dict_named(state_dict, name)
        for copy in _FAST_PATH_COPIES:
            state_dict.pop(f"{name}.{copy}", None)

    def _load_from_state_dict(self, *args, **kwargs):
        # skip the method of the base class, which would create the copies again
        super(TransformerEncoderLayerBase, self)._load_from_state_dict(*args, **kwargs)


class GatedDecoderLayer(GatedLayer, _GatedFeedForward, TransformerDecoderLayerBase):
    """Decoder layer with a gate, gated self-attention, gated cross-attention and a gated feed-forward block."""

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

    def _as_output(self, x):
        return x, None, None
