"""`RuntimeError: Mask Type should be defined` when a stock `transformer` decodes

Where: `TransformerEncoderLayerBase.forward`, the "BetterTransformer" fast path of evaluation.
When: torch >= 1.13, whose `_transformer_encoder_layer_fwd` wants to be told the mask's type. CPU and GPU.
"""

import functools


def mend(transformer_layer):
    encoder_layer = transformer_layer.TransformerEncoderLayerBase
    original_init = encoder_layer.__init__

    @functools.wraps(original_init)
    def __init__(self, *args, **kwargs):
        original_init(self, *args, **kwargs)
        self.can_use_fastpath = False

    encoder_layer.__init__ = __init__
