"""Options of a model that CTranslate2 does not support, whatever the family."""

from argparse import Namespace
from collections.abc import Mapping

from ..errors import flag

# values of --activation-fn, and their names in CTranslate2
ACTIVATIONS = {
    "relu": "RELU",
    "gelu": "GELU",
    "gelu_accurate": "GELUTanh",
    "gelu_fast": "GELUTanh",
    "tanh": "Tanh",
}
REASONS = {
    "adaptive_softmax_cutoff": "it has no adaptive softmax",
    "base_layers": "it has no BASE layers",
    "decoder_xformers_att_config": "it has no xformers attention",
    "quant_noise_pq": "it quantises in another way",
    "quant_noise_scalar": "it quantises in another way",
    "decoder_layers_to_keep": "the checkpoint holds layers that the model leaves out",
}


def export_problems(options: Namespace, reasons: Mapping[str, str]) -> list[str]:
    """One line per option with which a model cannot be exported.

    Args:
        reasons: why not, by the names of options of one family, beside those of REASONS.
    """
    problems = [
        f"{flag(name)} {getattr(options, name)}: cannot be exported to CTranslate2 ({why})"
        for name, why in {**REASONS, **reasons}.items()
        if getattr(options, name, None)
    ]
    activation = getattr(options, "activation_fn", "relu")
    if activation not in ACTIVATIONS:
        problems.append(
            f"--activation-fn {activation}: cannot be exported to CTranslate2, which has {', '.join(ACTIVATIONS)}"
        )
    return problems
