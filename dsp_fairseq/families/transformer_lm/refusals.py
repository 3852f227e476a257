"""Options with which a Transformer language model cannot carry gates, or cannot be computed at all."""

from argparse import Namespace

from ...errors import flag
from ..checks import group_problems
from ..transformer.inventory import group_of

_WRONG = {
    "quant_noise_pq": "quantisation noise replaces the projections that gates scale",
    "quant_noise_scalar": "quantisation noise replaces the projections that gates scale",
    "decoder_xformers_att_config": "xformers attention has no gates",
    "base_layers": "BASE layers have attention without gates",
    "decoder_layers_to_keep": "the heads of dropped layers would be counted",
    "character_embeddings": "they are built from the letters of the words, which a checkpoint does not hold",
    "frozen": "a language model is one part; to freeze all weights, say --pruning-mode pipelined",
}


def unsupported(options: Namespace, model: str = "gated_transformer_lm") -> list[str]:
    """Options of the stock model that cannot work together with gates."""
    return [
        f"{flag(name)} {getattr(options, name)}: not supported by {model} ({why}); leave it out"
        for name, why in _WRONG.items()
        if getattr(options, name, None)
    ]


def shape_problems(options: Namespace) -> list[str]:
    """One line per option with which no model can be computed."""
    return [*tying_problems(options), *group_problems(options, group_of(options), ["decoder_ffn_embed_dim"])]


def tying_problems(options: Namespace) -> list[str]:
    """Embeddings and output layers that cannot share their weights; fairseq asserts some of this without a message."""

    def value(name):
        return getattr(options, name, None) or None

    problems = []
    if value("adaptive_input") and not value("adaptive_input_cutoff"):
        problems.append("--adaptive-input: needs --adaptive-input-cutoff, such as 20000,60000")
    if not value("tie_adaptive_weights"):
        return problems + _sharing_problems(options)
    if not value("adaptive_input") or not value("adaptive_softmax_cutoff"):
        return [*problems, "--tie-adaptive-weights: needs --adaptive-input and --adaptive-softmax-cutoff"]
    for one, other in (
        ("adaptive_input_cutoff", "adaptive_softmax_cutoff"),
        ("adaptive_input_factor", "adaptive_softmax_factor"),
        ("decoder_input_dim", "decoder_output_dim"),
    ):
        if value(one) != value(other):
            problems.append(
                f"{flag(one)} {value(one)}: --tie-adaptive-weights needs it to be {flag(other)}, {value(other)}"
            )
    return problems


def _sharing_problems(options: Namespace) -> list[str]:
    if not getattr(options, "share_decoder_input_output_embed", None):
        return []
    there, out = (getattr(options, f"decoder_{part}_dim", None) for part in ("input", "output"))
    if getattr(options, "adaptive_input", None):
        return ["--share-decoder-input-output-embed: not with --adaptive-input; say --tie-adaptive-weights"]
    if there != out:
        return [f"--decoder-output-dim {out}: --share-decoder-input-output-embed needs it to be {there}"]
    return []
