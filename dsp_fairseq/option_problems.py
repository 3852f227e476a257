"""What is wrong with the options of a gated model and of its pruning, one line each."""

from argparse import Namespace

from .budgets import choice_of, keep_range_of
from .config import RECIPES, SEARCH_SHARE, PruningConfig
from .errors import MOST, BadInput, flag
from .families import inventory_of
from .option_types import type_problems
from .shape_problems import shape_problems

_RANGES = {
    "pruning_lr": (1e-30, 1e6),
    "initial_temperature": (1e-30, 1e6),
    "final_temperature": (1e-30, 1e6),
    "initial_log_odds": (-1e6, 1e6),
    "uniform_prior": (0, 1e6),
    "l0_penalty": (0, 1e6),
    "search_updates": (1, MOST),
    "search_warmup_updates": (0, MOST),
    "cooldown_updates": (0, MOST),
}


def model_problems(args: Namespace) -> list[str]:
    """Everything that keeps these options from making a gated model, one line each."""
    # heads cannot be counted in a shape that cannot be
    return type_problems(args) or unsupported(args) + (shape_problems(args) or _method_problems(args))


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


def _method_problems(args: Namespace) -> list[str]:
    name = PruningConfig.from_args(args).pruning_method
    if name not in RECIPES:
        return [f"--pruning-method {name}: unknown; choose one of {', '.join(RECIPES)}"]
    problems = []
    recipe = RECIPES[name]
    optional = {name for recipe in RECIPES.values() for name in recipe.defaults}
    for option in sorted(optional - set(recipe.defaults)):
        if getattr(args, option, None) is not None:
            readers = [other for other, r in RECIPES.items() if option in r.defaults]
            problems.append(
                f"{flag(option)} {getattr(args, option)}: --pruning-method {name} does not use it; "
                f"leave it out, or choose one of {', '.join(readers)}"
            )
    return problems + _mode_problems(args, name) + _count_problems(args, name) + _number_problems(args)


def _mode_problems(args: Namespace, method: str) -> list[str]:
    mode, frozen = PruningConfig.from_args(args).pruning_mode, getattr(args, "frozen", None)
    problems = []
    if mode not in ("joint", "pipelined"):
        problems.append(f"--pruning-mode {mode}: must be joint or pipelined")
    elif mode == "pipelined" and not RECIPES[method].learns:
        problems.append(f"--pruning-mode pipelined: --pruning-method {method} has no choice to learn; say joint")
    if frozen not in (None, "encoder", "decoder"):
        problems.append(f"--frozen {frozen}: must be encoder or decoder")
    elif frozen and mode == "pipelined":
        problems.append(f"--frozen {frozen}: --pruning-mode pipelined freezes all weights; leave it out")
    if getattr(args, "heads_to_keep_range", None) and method in ("l0", "none"):
        problems.append(f"--heads-to-keep-range {args.heads_to_keep_range}: --pruning-method {method} has no K to draw")
    if getattr(args, "heads_to_keep_range", None) and "=" in str(getattr(args, "heads_to_keep", None)):
        problems.append(f"--heads-to-keep {args.heads_to_keep}: --heads-to-keep-range draws one K for the whole model")
    if method == "l0" and getattr(args, "l0_penalty", None) is None:
        problems.append("--l0-penalty is missing: --pruning-method l0 needs the cost of an open head, such as 0.01")
    return problems


def _count_problems(args: Namespace, method: str) -> list[str]:
    inventory = inventory_of(args)
    limits = ("min_heads_per_block", "max_heads_per_block")
    said = [f"{flag(name)} {getattr(args, name)}" for name in limits if getattr(args, name, None) is not None]
    counts = ("heads_to_keep", "heads_to_keep_range")
    counted = any(getattr(args, name, None) is not None for name in counts)
    if not counted and method not in ("none", "l0"):
        return [
            f"--heads-to-keep is missing: --pruning-method {method} needs it, 0 to {inventory.units}, the heads of "
            "this model; to train with all heads, say --pruning-method none"
        ]
    if said and method == "l0" and not counted:
        return [f"{option}: without --heads-to-keep the penalty alone counts heads; leave it out" for option in said]
    negative = [option for option in said if " -" in option]
    if negative:
        return [f"{option}: must be 0 or more" for option in negative]
    try:
        choice_of(args, inventory)
        keep_range_of(args, inventory)
    except BadInput as error:
        return str(error).splitlines()
    return []


def _number_problems(args: Namespace) -> list[str]:
    problems = []
    for option, (least, most) in _RANGES.items():
        value = getattr(args, option, None)
        if value is not None and not least <= value <= most:
            allowed = f"{least} to {MOST}" if most == MOST else f"{least:g} to {most:g}"
            problems.append(f"{flag(option)} {value}: must be {allowed}")
    if problems:
        return problems
    options = PruningConfig.from_args(args)
    first, last = options.initial_temperature, options.final_temperature
    if first is not None and last is not None and last > first:
        unsaid = " (the default)"
        problems.append(
            f"--final-temperature {last}{'' if getattr(args, 'final_temperature', None) else unsaid}: "
            "the temperature falls, so it must not be above --initial-temperature "
            f"{first}{'' if getattr(args, 'initial_temperature', None) else unsaid}"
        )
    if options.pruning_mode not in SEARCH_SHARE:
        return problems
    search, total = options.search_updates, getattr(args, "max_update", None)
    if search is not None and total and search > total:
        problems.append(
            f"--search-updates {search}: must not be above --max-update ({total}), or the choice is never made"
        )
    warmup = options.search_warmup_updates
    if search is None and total:
        search = max(1, round(SEARCH_SHARE[options.pruning_mode] * total))
    if search is not None and warmup is not None and warmup >= search:
        problems.append(f"--search-warmup-updates {warmup}: must be below --search-updates ({search})")
    return problems
