"""Options of pruning that a training would read and not use. Checkpoints of earlier trainings may have them."""

from argparse import Namespace

from ..config import with_defaults
from ..errors import flag
from ..gates.methods import METHODS
from ..gates.methods.movement import Settings
from ..option_names import BUDGETS, COMPETING, SWITCH


def unused_options(args: Namespace) -> list[str]:
    """One line for each option without an effect; the other options must be right."""
    method = METHODS[args.pruning_method]
    if method.scores_weights:
        return _of_movement(args)
    given = [name for name in (*BUDGETS, "heads_to_keep_range") if getattr(args, name, None) is not None]
    return _of_whole_layers(args) if given == ["layers_to_keep"] else []


def _of_movement(args: Namespace) -> list[str]:
    options, problems = with_defaults(args), []
    if options["output_scaling"] == SWITCH[0]:
        problems.append(
            f"--output-scaling {SWITCH[0]}: --pruning-method movement takes out only heads that add nothing, so there "
            "is nothing to make up for; leave it out"
        )
    if options["penalty_weights"] is not None and Settings.of(options).penalty == 0:
        problems.append(
            f"--penalty-weights {options['penalty_weights']}: there is no price that they could multiply; give one "
            "with --movement-penalty, which is 0 with --weights-to-keep unless it is said, or leave it out"
        )
    return problems


def _of_whole_layers(args: Namespace) -> list[str]:
    return [
        f"{flag(name)} {getattr(args, name)}: --layers-to-keep keeps or removes whole layers; leave it out, or give a "
        f"budget for what is in them too, such as {flag(COMPETING[0])}"
        for name in ("prunable", "min_heads_per_block", "min_ffn_per_block")
        if getattr(args, name, None) is not None
    ]
