"""The checks of a training that run before it writes anything.

All problems are reported at once, also those of options that no Plan can be made of. So these functions read the
options; only the checks that come after all others read the Plan.
"""

import logging
import os
from argparse import Namespace
from collections.abc import Mapping

import torch

from dsp_fairseq_startup.errors import BadCheckpoint

from ..checkpoints.reading import load, model_options
from ..config import SAME_PRUNING, with_defaults
from ..errors import BadInput, flag, refuse
from ..families import inventory_of, known_family
from ..families.values import is_whole
from ..gates.methods import METHODS
from ..option_names import BUDGETS, LIMITS
from ..options.plan import Plan
from ..options.problems import model_problems
from ..structures.heads import HEADS
from .starting_point import unable_to_go_on, units_not_taken_over
from .teacher import teacher_problems
from .unused_options import unused_options

logger = logging.getLogger(__name__)


def check_training(args: Namespace) -> None:
    """Check a parsed ``fairseq-train`` command line; raises BadInput with all of its problems."""
    # fairseq comes here again when it builds a model from a checkpoint; the options in a checkpoint have the name of
    # the model, those of a command line do not
    fresh = hasattr(args, "save_dir") and not hasattr(args, "_name")
    problems = _limits_of_nothing(args) + _adopt_structure(args) if fresh else []
    problems += model_problems(args)
    if fresh:
        problems += [] if problems else unused_options(args)
        problems += _driver_problems(args) + _precision_problems(args)
        of_data = known_family(args).data_problems(args)
        problems += of_data + teacher_problems(args, has_data=not of_data)
        if not problems:
            problems += _checkpoint_problems(args)
    refuse(problems)


def _adopt_structure(args: Namespace) -> list[str]:
    """Take over the structure of the checkpoint that the training starts from, from which units may be removed.

    Returns one line for each option that contradicts the checkpoint.
    """
    path = _restored(args) or args.finetune_from_model
    if path is None:
        return []
    try:
        stored = model_options(load(path))
    except (BadInput, BadCheckpoint):
        return []  # _checkpoint_problems loads it again and reports the error
    _adopt_layers(args, stored)
    problems = known_family(args).structure_problems(args, path, stored)
    if not problems and getattr(stored, "kept_heads", None) is not None:
        args.kept_heads = stored.kept_heads
        if getattr(METHODS.get(args.pruning_method), "scores_weights", False):
            return _adopt_single_units(args, stored)
        group, there = getattr(args, "ffn_group", None), getattr(stored, "ffn_group", None)
        if there is not None and group not in (None, there):
            return [f"--ffn-group {group}: {path} has lost groups of {there} hidden units; leave it out"]
        args.ffn_group = group if there is None else there
        if args.pruning_method == "none":  # no new choice is made, so later pruning observes the limits of the old one
            vars(args).update({option: getattr(stored, option, None) for option in LIMITS})
    return problems


def _adopt_single_units(args: Namespace, stored: Namespace) -> list[str]:
    """Take over what is left of a checkpoint for a method that leaves single hidden units; returns no problem."""
    inventory = inventory_of(stored).in_single_units()
    args.kept_heads = inventory.indices()
    return []


def _adopt_layers(args: Namespace, stored: Namespace) -> None:
    """Take over the numbers of layers of a pruned checkpoint where the options say those before layers were removed."""
    before = getattr(stored, "layers_before", None)
    if not isinstance(before, Mapping):
        return
    args.layers_before = before
    names = known_family(args).layer_options(dict.fromkeys(known_family(args).parts, 0))
    for name in names:
        if (
            is_whole(before.get(name))
            and getattr(args, name, None) == before[name]
            and is_whole(getattr(stored, name, None))
        ):
            setattr(args, name, getattr(stored, name))


def _limits_of_nothing(args: Namespace) -> list[str]:
    """One line for each limit that was given although nothing is chosen; removes these limits from the options."""
    if args.pruning_method != "none":
        return []
    given = [option for option in LIMITS if getattr(args, option, None) is not None]
    problems = [
        f"{flag(option)} {getattr(args, option)}: --pruning-method none keeps all "
        f"{'hidden units' if 'ffn' in option else 'heads'}; leave it out"
        for option in given
    ]
    vars(args).update(dict.fromkeys(given))  # so that no later check reports them again
    return problems


def _driver_problems(args: Namespace) -> list[str]:
    """Problems of a learned choice: it needs its task and criterion, and a known end of the search.

    Without a learned choice the only problem is a K below H with the method ``none``.
    """
    method = args.pruning_method
    if method == "none":
        return _budgets_of_nothing(args)
    if method not in METHODS or not (METHODS[method].learns or METHODS[method].scores_weights):
        return []
    problems = []
    if METHODS[method].scores_weights and not (args.max_update or args.max_epoch):
        problems.append(
            f"--max-update is missing: --pruning-method {method} prunes in shares of the planned updates; say "
            "--max-update or --max-epoch"
        )
    if args.pruning_mode == "pipelined" and args.finetune_from_model is None and _restored(args) is None:
        problems.append(
            f"--pruning-mode pipelined: needs a converged model to choose {_noun(args)} of; name its checkpoint with "
            "--finetune-from-model"
        )
    if METHODS[method].variant(with_defaults(args)).searches and not (
        args.search_updates or args.max_update or args.max_epoch
    ):
        problems.append(
            "--search-updates is missing: say after how many updates the choice is final, or give "
            "--max-update or --max-epoch (then it is a share of the planned updates)"
        )
    family = known_family(args)
    return problems + [
        f"--{option} {getattr(args, option)}: --pruning-method {method} learns its choice, say --{option} "
        f"{' or '.join(needed)}"
        for option, needed in (("task", [family.training_task]), ("criterion", family.training_criterions))
        if getattr(args, option) not in needed
    ]


def _budgets_of_nothing(args: Namespace) -> list[str]:
    """Budgets that --pruning-method none does not keep to; all heads may be asked for by number."""
    heads = inventory_of(args).of_structure(HEADS.name).units
    given = {name: getattr(args, name, None) for name in BUDGETS}
    return [
        f"{flag(name)} {value}: --pruning-method none trains with all "
        f"{'heads' if name == BUDGETS[0] else 'units'}; leave it out, or choose another method"
        for name, value in given.items()
        if value is not None and not (name == BUDGETS[0] and str(value) == str(heads))
    ]


def _precision_problems(args: Namespace) -> list[str]:
    """Problems of half precision without a GPU, where fairseq cannot make its flat fp32 copy of the weights."""
    on_gpu = torch.cuda.is_available() and not getattr(args, "cpu", False)
    if on_gpu or getattr(args, "fp16_no_flatten_grads", False):
        return []
    return [
        f"--{name}: without a GPU it also needs --fp16-no-flatten-grads; or say --memory-efficient-{name}, or leave "
        "it out"
        for name in ("fp16", "bf16")
        if getattr(args, name, False) and not getattr(args, f"memory_efficient_{name}", False)
    ]


def _checkpoint_problems(args: Namespace) -> list[str]:
    """Problems of a checkpoint that the training goes on from: it has to be readable and made with the same pruning."""
    path = _restored(args)
    if path is None:
        if args.finetune_from_model:
            _warn(units_not_taken_over(args.finetune_from_model, load(args.finetune_from_model), Plan.of(args)))
        return []
    state = load(path)
    stored = model_options(state)
    problems = _another_pruning(args, path, stored)
    if not problems and getattr(args, "reset_optimizer", False):
        _warn(units_not_taken_over(path, state, Plan.of(args)))
    elif not problems:
        problems = unable_to_go_on(path, state, Plan.of(args))
    return problems


def _another_pruning(args: Namespace, path: str, stored: Namespace) -> list[str]:
    """One line with all options that differ from ``stored`` but must stay the same during a training."""
    names = [name for name in SAME_PRUNING if hasattr(stored, name)]  # a stock transformer has none of them
    pairs = [(name, getattr(args, name), getattr(stored, name)) for name in names]
    different = ", ".join(
        f"{flag(name)} {'not given' if now is None else now} (there {'not given' if then is None else then})"
        for name, now, then in pairs
        if str(now) != str(then)
    )
    if not different:
        return []
    return [
        f"{different}: {path} was made with another choice of {_noun(args)}; say the same as there, "
        "choose another --save-dir, or start from it with --finetune-from-model"
    ]


def _noun(args: Namespace) -> str:
    """What is chosen: heads where no other unit has a budget, else units."""
    return "heads" if all(getattr(args, name, None) is None for name in BUDGETS[1:]) else "units"


def _warn(lines: list[str]) -> None:
    for line in lines:
        logger.warning(line)


def _restored(args: Namespace) -> str | None:
    """Path of the checkpoint that fairseq goes on from; None when it starts a new training."""
    if args.restore_file != "checkpoint_last.pt":
        return args.restore_file
    last = os.path.join(args.save_dir, args.restore_file)
    return last if os.path.isfile(last) else getattr(args, "continue_once", None)
