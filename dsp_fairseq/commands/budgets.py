"""The options of ``prune``, ``export`` and ``bench`` that say how much of a checkpoint is kept."""

from typing import Any

from ..config import BUDGETS

UNCHANGED = "(default: those that the checkpoint decodes with)"
_HELP = {
    "heads_to_keep": (
        "K",
        "the K most important heads, or of each kind: encoder.self=8,decoder.self=6,decoder.cross=10 " + UNCHANGED,
    ),
    "ffn_to_keep": (
        "F",
        "the F most important hidden units of feed-forward blocks, or of each kind: encoder.ffn=512,decoder.ffn=256 "
        + UNCHANGED,
    ),
    "parameters_to_keep": (
        "P",
        "the most important heads and hidden units within P of the prunable parameters of the architecture: a number, "
        "or a share such as 40%% (default: no such budget)",
    ),
}


def add_budgets(parser, verb: str = "keep") -> None:
    """One option for each budget; ``verb`` says what is done with what is kept."""
    for name in BUDGETS:
        metavar, text = _HELP[name]
        parser.add_argument(f"--{name.replace('_', '-')}", metavar=metavar, help=f"{verb} {text}")


def budgets_of(arguments) -> dict[str, Any]:
    """The budgets that are given, by the names of their options."""
    given = {name: getattr(arguments, name) for name in BUDGETS}
    return {name: value for name, value in given.items() if value is not None}
