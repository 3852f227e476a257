"""What the options of ``movement`` ask for in one model, and what is wrong with them."""

from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from ..config import with_defaults
from ..errors import BadInput, flag
from ..families import inventory_of
from ..gates.methods.movement import Settings
from ..gates.weights.layout import SHAPES, Blocking, Layout, blocking_problems
from ..gates.weights.penalty import parsed_weights
from ..option_names import BUDGETS, LIMITS
from ..structures.inventory import Inventory


def group_weights(options: Mapping[str, Any], inventory: Inventory) -> dict[str, float]:
    """The factors of the penalty by group; raises BadInput when the text names no group of the model."""
    groups = list(dict.fromkeys(Layout.of(inventory, _blocking(options)).groups))
    try:
        return parsed_weights(options["penalty_weights"], groups)
    except ValueError as problem:
        raise BadInput(f"--penalty-weights {options['penalty_weights']}: {problem}") from None


def movement_problems(args: Namespace) -> list[str]:
    """One line for each option that does not fit the model; call it for ``--pruning-method movement`` only."""
    options = with_defaults(args)
    others = (*BUDGETS, "heads_to_keep_range", *LIMITS)
    problems = [
        f"{flag(name)} {getattr(args, name)}: --pruning-method movement counts weights (--weights-to-keep), and takes "
        "single heads and hidden units out where nothing is left of them; leave it out"
        for name in others
        if getattr(args, name, None) not in (None, *([1] if name == "ffn_group" else []))
    ]
    rows, columns = options["block_rows"], options["block_cols"]
    if problems or options["block_shape"] not in SHAPES or rows < 1 or columns < 1:  # which other checks refuse
        return problems
    inventory = inventory_of(args)
    problems = blocking_problems(inventory, _blocking(options))
    if problems:
        return problems
    try:
        group_weights(options, inventory)
    except BadInput as problem:
        return str(problem).splitlines()
    return []


def _blocking(options: Mapping[str, Any]) -> Blocking:
    return Settings.of(options).blocking
