"""Options of a Transformer that CTranslate2 does not support."""

from argparse import Namespace

from ...export_refusals import export_problems
from ..refusals import shape_problems

_REASONS = {
    "cross_self_attention": "its attention reads one input",
    "no_cross_attention": "its decoder layers all attend to the encoder",
    "encoder_xformers_att_config": "it has no xformers attention",
    "encoder_layers_to_keep": "the checkpoint holds layers that the model leaves out",
}


def option_problems(options: Namespace) -> list[str]:
    """One line per option with which a Transformer cannot be exported."""
    return export_problems(options, _REASONS) + shape_problems(options)
