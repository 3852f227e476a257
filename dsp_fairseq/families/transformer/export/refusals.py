"""Options of a Transformer that CTranslate2 does not support."""

from argparse import Namespace

from ....errors import flag
from ..refusals import shape_problems

# values of --activation-fn, and their names in CTranslate2
ACTIVATIONS = {
    "relu": "RELU",
    "gelu": "GELU",
    "gelu_accurate": "GELUTanh",
    "gelu_fast": "GELUTanh",
    "tanh": "Tanh",
}

_REASONS = {
    "adaptive_softmax_cutoff": "it has no adaptive softmax",
    "base_layers": "it has no BASE layers",
    "cross_self_attention": "its attention reads one input",
    "no_cross_attention": "its decoder layers all attend to the encoder",
    "encoder_xformers_att_config": "it has no xformers attention",
    "decoder_xformers_att_config": "it has no xformers attention",
    "quant_noise_pq": "it quantises in another way",
    "quant_noise_scalar": "it quantises in another way",
    "encoder_layers_to_keep": "the checkpoint holds layers that the model leaves out",
    "decoder_layers_to_keep": "the checkpoint holds layers that the model leaves out",
}


def option_problems(options: Namespace) -> list[str]:
    """One line per option with which a Transformer cannot be exported."""
    problems = [
        f"{flag(name)} {getattr(options, name)}: cannot be exported to CTranslate2 ({why})"
        for name, why in _REASONS.items()
        if getattr(options, name, None)
    ]
    activation = getattr(options, "activation_fn", "relu")
    if activation not in ACTIVATIONS:
        problems.append(
            f"--activation-fn {activation}: cannot be exported to CTranslate2, which has {', '.join(ACTIVATIONS)}"
        )
    return problems + shape_problems(options)
