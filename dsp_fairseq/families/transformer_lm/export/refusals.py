"""Options of a language model that CTranslate2 does not support."""

from argparse import Namespace

from ....errors import flag
from ...transformer.export.refusals import ACTIVATIONS
from ..refusals import shape_problems

_REASONS = {
    "adaptive_input": "it has one table of embeddings",
    "adaptive_softmax_cutoff": "it has no adaptive softmax",
    "character_embeddings": "it has no embeddings of letters",
    "base_layers": "it has no BASE layers",
    "decoder_xformers_att_config": "it has no xformers attention",
    "quant_noise_pq": "it quantises in another way",
    "quant_noise_scalar": "it quantises in another way",
    "decoder_layers_to_keep": "the checkpoint holds layers that the model leaves out",
    **dict.fromkeys(("scale_attn", "scale_fc", "scale_heads", "scale_resids"), "it has no such scale"),
}


def option_problems(options: Namespace) -> list[str]:
    """One line per option with which a language model cannot be exported."""
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
    width, read = options.decoder_embed_dim, getattr(options, "decoder_input_dim", None)
    if read not in (None, width):
        problems.append(
            f"--decoder-input-dim {read}: cannot be exported to CTranslate2 (its embeddings have the width of the "
            f"layers, {width})"
        )
    return problems + shape_problems(options)
