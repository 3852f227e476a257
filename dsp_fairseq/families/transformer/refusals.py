"""Options with which a Transformer cannot carry gates, or cannot be computed at all."""

from argparse import Namespace

from ...errors import flag
from ..checks import group_problems
from ..values import number
from .inventory import group_of

_SIDES = ("encoder", "decoder")


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


def shape_problems(args: Namespace) -> list[str]:
    """One line per option with which no model can be computed."""
    source, target = (getattr(args, f"{side}_embed_dim", None) for side in _SIDES)
    problems = []
    if getattr(args, "share_all_embeddings", False) and source != target:
        problems.append(
            f"--share-all-embeddings: needs one width, but --encoder-embed-dim is {source} and --decoder-embed-dim "
            f"{target}"
        )
    out = number(getattr(args, "decoder_output_dim", None))
    for option in ("share_all_embeddings", "share_decoder_input_output_embed", "tie_adaptive_weights"):
        if getattr(args, option, False) and out not in (None, target):
            problems.append(f"--decoder-output-dim {out}: {flag(option)} needs it to be --decoder-embed-dim, {target}")
    return problems + group_problems(args, group_of(args), [f"{side}_ffn_embed_dim" for side in _SIDES])
