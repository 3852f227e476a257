"""Options of the stock Transformer that cannot work together with gates."""

from argparse import Namespace

from ...errors import flag


def unsupported(args: Namespace) -> list[str]:
    """Options of the stock transformer that cannot work together with gates."""
    wrong = {
        "quant_noise_pq": "quantisation noise replaces the projections that gates scale",
        "quant_noise_scalar": "quantisation noise replaces the projections that gates scale",
        "encoder_xformers_att_config": "xformers attention has no gates",
        "decoder_xformers_att_config": "xformers attention has no gates",
        "cross_self_attention": "its blocks are not counted among the heads",
        "no_cross_attention": "decoder.cross heads would not exist",
        "base_layers": "BASE layers have attention without gates",
        "encoder_layers_to_keep": "the heads of dropped layers would be counted",
        "decoder_layers_to_keep": "the heads of dropped layers would be counted",
        "adaptive_softmax_cutoff": "the pruning criterion reads a full softmax",
    }
    return [
        f"{flag(name)} {getattr(args, name)}: not supported by gated_transformer ({why}); leave it out"
        for name, why in wrong.items()
        if getattr(args, name, None)
    ]
