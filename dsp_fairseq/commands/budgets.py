"""The options of ``prune``, ``export`` and ``bench`` that say how much of a checkpoint is kept."""

from typing import Any

from ..option_names import BUDGETS
from .inputs import E_OF_EACH_STACK, F_OF_EACH_KIND, K_OF_EACH_KIND

UNCHANGED = "(default: those that the checkpoint decodes with)"
_HELP = {
    "heads_to_keep": (
        "K",
        f"the K most important heads, or of each kind: {K_OF_EACH_KIND} {UNCHANGED}",
    ),
    "ffn_to_keep": (
        "F",
        f"the F most important hidden units of feed-forward blocks, or of each kind: {F_OF_EACH_KIND} {UNCHANGED}",
    ),
    "layers_to_keep": (
        "E",
        f"so many of the most important layers of each stack, such as {E_OF_EACH_STACK} {UNCHANGED}",
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
