"""Options of a language model that CTranslate2 does not support."""

from argparse import Namespace

from ...export_refusals import export_problems
from ..refusals import shape_problems

_REASONS = {
    "adaptive_input": "it has one table of embeddings",
    "character_embeddings": "it has no embeddings of letters",
    **dict.fromkeys(("scale_attn", "scale_fc", "scale_heads", "scale_resids"), "it has no such scale"),
}


def option_problems(options: Namespace) -> list[str]:
    """One line per option with which a language model cannot be exported."""
    problems = export_problems(options, _REASONS)
    width, read = options.decoder_embed_dim, getattr(options, "decoder_input_dim", None)
    if read not in (None, width):
        problems.append(
            f"--decoder-input-dim {read}: cannot be exported to CTranslate2 (its embeddings have the width of the "
            f"layers, {width})"
        )
    return problems + shape_problems(options)
