"""Problems in the options of a gated model and of its pruning, as lines of text."""

from argparse import Namespace
from collections.abc import Sequence
from typing import Any

from ..config import option_types, with_defaults
from ..errors import BadInput, flag
from ..families import architecture_of, family_of, inventory_of, known_family, known_models
from ..families.values import by_name, is_whole, value_problems
from ..gates.methods import METHODS, SEARCH_SHARE
from ..gates.methods.registry import method_options, readers_of
from ..option_names import BUDGETS, LIMITS, SWITCH
from ..structures.ffn import FFN
from ..structures.heads import HEADS
from ..structures.layers import LAYERS
from .movement import movement_problems
from .plan import Plan, foreign_structures


def model_problems(args: Namespace) -> list[str]:
    """All reasons why a gated model cannot be built from these options, one line each."""
    family = family_of(args)
    if family is None:
        return [f"--arch {architecture_of(args)}: is no architecture of {known_models()}"]
    problems = _type_problems(by_name(args)) + family.type_problems(args)
    if problems:
        return problems
    foreign = [
        (name, reason)
        for structure, reason in foreign_structures(family).items()
        for name in _ABOUT[structure]
        if getattr(args, name, None) is not None
    ]
    problems = [f"{flag(name)} {getattr(args, name)}: {reason}" for name, reason in foreign]
    rest = Namespace(**{**by_name(args), **dict.fromkeys(name for name, _ in foreign)})
    # pruning is only judged in a model of a valid shape, because its heads have to be counted
    return problems + family.unsupported(rest) + (family.shape_problems(rest) or _method_problems(rest))


_ABOUT = {  # the options about a structure
    FFN.name: ("ffn_to_keep", "ffn_group", "min_ffn_per_block", "max_ffn_per_block"),
    LAYERS.name: ("layers_to_keep",),
}


def _type_problems(options: dict[str, Any]) -> list[str]:
    """One line for each option of pruning whose value has the wrong type or is empty."""
    types = option_types()
    for budget in BUDGETS:
        if is_whole(options.get(budget)):  # a number instead of text, as in checkpoints
            types.pop(budget)
    empty = [name for name in types if options.get(name) == ""]
    problems = [f"{flag(name)} '': is empty; give it a value, or leave it out" for name in empty]
    return problems + value_problems({name: value for name, value in options.items() if name not in empty}, types)


def _method_problems(args: Namespace) -> list[str]:
    name = with_defaults(args)["pruning_method"]
    if name not in METHODS:
        return [f"--pruning-method {name}: unknown; choose one of {', '.join(METHODS)}"]
    problems = [
        f"{flag(option)} {getattr(args, option)}: --pruning-method {name} does not use it; "
        f"leave it out, or choose one of {', '.join(readers_of(option))}"
        for option in sorted(method_options())
        if name not in readers_of(option) and getattr(args, option, None) is not None
    ]
    said = getattr(args, "output_scaling", None)
    if said not in (None, *SWITCH):
        problems.append(f"--output-scaling {str(said)[:100]}: must be {' or '.join(SWITCH)}")
    counts = movement_problems(args) if METHODS[name].scores_weights else _count_problems(args, name)
    # where blocks of weights cannot be pruned anyway, nobody wants to read by how much their scores can fall
    updates = None if METHODS[name].scores_weights and counts else getattr(args, "max_update", None)
    return problems + _mode_problems(args, name, known_family(args).parts) + counts + _number_problems(args, updates)


def _mode_problems(args: Namespace, method: str, parts: Sequence[str]) -> list[str]:
    mode, frozen = with_defaults(args)["pruning_mode"], getattr(args, "frozen", None)
    problems = []
    if mode not in SEARCH_SHARE:
        problems.append(f"--pruning-mode {mode}: must be {' or '.join(SEARCH_SHARE)}")
    elif mode == "pipelined" and not METHODS[method].learns:
        problems.append(f"--pruning-mode pipelined: --pruning-method {method} has no choice to learn; say joint")
    if frozen not in (None, *parts):
        problems.append(f"--frozen {frozen}: must be {' or '.join(parts)}")
    elif frozen and mode == "pipelined":
        problems.append(f"--frozen {frozen}: --pruning-mode pipelined freezes all weights; leave it out")
    if getattr(args, "heads_to_keep_range", None) and not METHODS[method].needs_count:
        problems.append(f"--heads-to-keep-range {args.heads_to_keep_range}: --pruning-method {method} has no K to draw")
    if getattr(args, "heads_to_keep_range", None) and "=" in str(getattr(args, "heads_to_keep", None)):
        problems.append(f"--heads-to-keep {args.heads_to_keep}: --heads-to-keep-range draws one K for the whole model")
    if METHODS[method].independent and any(getattr(args, name, None) is not None for name in BUDGETS):
        return problems  # which the budget decides
    return problems + [
        f"{flag(option.name)} is missing: --pruning-method {method} needs {option.needs}"
        for option in METHODS[method].OPTIONS
        if option.needs and getattr(args, option.name, None) is None
    ]


def _count_problems(args: Namespace, method: str) -> list[str]:
    inventory = inventory_of(args)
    heads = inventory.of_structure(HEADS.name).units
    limits = [name for name in LIMITS if name.startswith(("min_", "max_"))]
    given = [f"{flag(name)} {getattr(args, name)}" for name in limits if getattr(args, name, None) is not None]
    counted = any(getattr(args, name, None) is not None for name in (*BUDGETS, "heads_to_keep_range"))
    if not counted and METHODS[method].needs_count:
        return [
            f"--heads-to-keep is missing: --pruning-method {method} needs it, 0 to {heads}, the heads of "
            f"this model, or {_other_budgets(args, method)}; to train with all heads, say --pruning-method none"
        ]
    if given and METHODS[method].independent and not counted:
        return [
            f"{option}: without a budget such as --heads-to-keep the penalty alone decides how much is kept; leave it "
            "out"
            for option in given
        ]
    negative = [option for option in given if " -" in option]
    if negative:
        return [f"{option}: must be 0 or more" for option in negative]
    beyond_heads = (*BUDGETS[1:], *(name for name in LIMITS if "ffn" in name))
    others = [f"{flag(name)} {getattr(args, name)}" for name in beyond_heads if getattr(args, name, None) is not None]
    if len(inventory.structures) > 1 and not others:
        others = [f"--prunable {getattr(args, 'prunable', None)}"]
    if getattr(args, "heads_to_keep_range", None) is not None and others:
        return [
            f"{option}: --heads-to-keep-range draws numbers of heads only; leave one of the two out"
            for option in others
        ]
    try:
        plan = Plan.of(args, inventory)
    except BadInput as error:
        return str(error).splitlines()
    if not METHODS[method].takes_costs and not all(share.pool.equal_costs for share in plan.choice.shares):
        able = ", ".join(
            name for name, known in METHODS.items() if known.takes_costs and (known.needs_count or known.independent)
        )
        return [
            f"--parameters-to-keep {plan.budget.given['parameters_to_keep']}: --pruning-method {method} cannot choose "
            f"between units of unequal cost; choose one of {able}, or say --heads-to-keep and --ffn-to-keep instead"
        ]
    return []


def _other_budgets(args: Namespace, method: str) -> str:
    """The budgets beside --heads-to-keep that a method and the family take."""
    foreign = {name for structure in foreign_structures(known_family(args)) for name in _ABOUT[structure]}
    priced = () if METHODS[method].takes_costs else ("parameters_to_keep",)
    others = [flag(name) for name in BUDGETS[1:] if name not in foreign and name not in priced]
    return f"another budget, {' or '.join(others)}" if others else "a range, --heads-to-keep-range"


def _number_problems(args: Namespace, updates: int | None) -> list[str]:
    """One line for each value outside its range; if there is none, one for each pair of values that contradict."""
    values = {name: getattr(args, name, None) for name in method_options()}
    given = {name: value for name, value in values.items() if value is not None}
    problems = [
        f"{flag(name)} {given[name]}: must be {option.range}"
        for name, option in method_options().items()
        if name in given and not option.allows(given[name])
    ]
    if problems:
        return problems
    options = with_defaults(args)
    return METHODS[options["pruning_method"]].option_problems(options, given, updates)
