"""Reads the keys of a sweep's file that hold flags: of trainings, of evaluations, of named models."""

import re
import shlex
from collections.abc import Callable
from typing import Any

from pydantic import ValidationInfo as Info

from ..errors import flag
from ..gates.methods import METHODS
from ..training.teacher import RANGES
from .amounts import AMOUNTS, LAYERS, UNPRUNED, pruning_methods
from .flags import Words, names, read_flags, value_of
from .values import NOTHING, Wrong, forbidden_words, refuse_values, subject_of, yes_or_no

SCORE, RANGE = "--score", "--heads-to-keep-range"  # flags that say how the heads of `after` are chosen
FLAGS_OF_CELLS = "give the flags of fairseq-train that all cells share, --arch first"

_OWN = "the sweep sets it; leave it out"
# flags of fairseq-train that the sweep sets itself, or that would hide the results from it
NOT_IN_TRAIN = {
    "--pruning-method": "the sweep sets it from grid.method; leave it out",
    **{flag(name): f"the sweep sets it from grid.{name}; leave it out" for name in AMOUNTS},
    LAYERS: "the unpruned model keeps all layers; give it in method_flags, or as grid.layers_to_keep",
    "--teacher": "the sweep sets it where distillation is given; leave it out",
    "--seed": "the sweep sets it from grid.seed; leave it out",
    "--save-dir": _OWN,
    "--log-file": _OWN,
    "--log-format": _OWN,
    "--no-save": "nothing could be evaluated; leave it out",
    "--no-last-checkpoints": "the last checkpoint is what is evaluated; leave it out",
    "--no-save-optimizer-state": "an interrupted training could not go on; leave it out",
    **dict.fromkeys(
        ("--restore-file", "--reset-optimizer", "--reset-dataloader", "--reset-meters", "--reset-lr-scheduler"),
        "an interrupted training would not go on; to start from a checkpoint say --finetune-from-model",
    ),
}
NOT_IN_GENERATE = {
    "--path": _OWN,
    "--results-path": "the sweep reads what is printed; leave it out",
    "--quiet": "the sweep reads what is printed; leave it out",
}
NOT_IN_EVALUATE = {
    "--path": _OWN,
    "--results-path": "the sweep reads what is printed; leave it out",
}
NOT_IN_AFTER = {name: why for name, why in NOT_IN_TRAIN.items() if name != "--pruning-method"} | {
    "--pruning-mode": _OWN,
    "--finetune-from-model": _OWN,
    "--json": _OWN,
}
NOT_IN_VARIANTS = {
    name: why for name, why in NOT_IN_TRAIN.items() if name not in ("--pruning-method", LAYERS, *map(flag, AMOUNTS))
}
NOT_IN_TUNE = {**NOT_IN_TRAIN, "--finetune-from-model": _OWN}


def training_flags(value: Any) -> Words:
    words, problems = read_flags(value)
    if not words:
        problems.append((NOTHING, FLAGS_OF_CELLS))
    elif "--arch" not in names(words):
        problems.append((shlex.join(words), "--arch is missing, such as --arch gated_transformer_iwslt_de_en"))
    refuse_values(problems + forbidden_words(words, NOT_IN_TRAIN))
    return words


def flags_of(command: str, forbidden: dict[str, str]) -> Callable[[Any, Info], Words]:
    """Reads the flags of a command that evaluates, if it is the one for the models of this sweep."""

    def read(value: Any, info: Info) -> Words:
        words, problems = read_flags(value)
        family, evaluation = subject_of(info)
        if words and evaluation.command != command:
            remedy = f"{family.with_article} is evaluated by {evaluation.command}; give its flags as {evaluation.key}"
            raise Wrong((shlex.join(words), remedy))
        refuse_values(problems + forbidden_words(words, forbidden))
        return words

    return read


def flags_of_methods(value: Any, info: Info) -> dict[str, Words]:
    value = value or {}
    if not isinstance(value, dict):
        raise Wrong((value, 'must be such as dsp-published: "--cooldown-updates 250"'))
    grid, flags, problems = info.data.get("grid"), {}, []
    forbidden = {name: why for name, why in NOT_IN_TRAIN.items() if name != LAYERS}
    if grid and grid.layers_to_keep:
        forbidden[LAYERS] = "grid.layers_to_keep says so too; leave out one of both"
    methods = [*grid.method, *[UNPRUNED] * info.data.get("unpruned", False)] if grid else None
    for method, given in value.items():
        if methods is not None and method not in methods:
            problems.append((method, given, f"no cell has this method; those of the sweep are {', '.join(methods)}"))
            continue
        flags[method], wrong = read_flags(given)
        problems += [(method, *problem) for problem in wrong + forbidden_words(flags[method], forbidden)]
    refuse_values(problems)
    return flags


def _named_flags(value: Any, example: str) -> tuple[dict[str, Words], list[tuple[Any, ...]]]:
    """Flags by a name that the file chooses, and their problems."""
    value = value or {}
    if not isinstance(value, dict):
        raise Wrong((value, f"must be such as {example}"))
    flags, problems = {}, []
    for name, given in value.items():
        flags[name], wrong = read_flags(given)
        if not re.fullmatch(r"[a-z][a-z0-9-]*", str(name)):
            wrong.append((given, "its name must be small letters, digits and hyphens"))
        problems += [(name, *problem) for problem in wrong]
    return flags, problems


def dense_flags(value: Any) -> dict[str, Words]:
    flags, problems = _named_flags(value, 'tiny: "--arch gated_transformer_tiny"')
    for name, words in flags.items():
        if name in METHODS or name == "unpruned":
            problems.append((name, shlex.join(words), "is the name of a method; choose another one"))
        problems += [(name, *problem) for problem in forbidden_words(words, NOT_IN_TRAIN)]
    refuse_values(problems)
    return flags


def variant_flags(value: Any, info: Info) -> dict[str, Words]:
    flags, problems = _named_flags(value, 'unscaled: "--pruning-method dsp --heads-to-keep 12 --output-scaling off"')
    for name, words in flags.items():
        if name in METHODS or name == "unpruned" or name in info.data.get("dense", ()):
            problems.append((name, shlex.join(words), "is the name of other models; choose another one"))
        method = value_of(words, "--pruning-method")
        if method not in pruning_methods():
            told = f"must have --pruning-method with one of {', '.join(pruning_methods())}"
            problems.append((name, shlex.join(words), told))
        problems += [(name, *problem) for problem in forbidden_words(words, NOT_IN_VARIANTS)]
    refuse_values(problems)
    return flags


def flags_from_unpruned(value: Any) -> Words | None:
    """None: everything is trained from random weights."""
    if value is None or value is False:
        return None
    words, problems = ((), []) if value is True else read_flags(value)
    refuse_values(problems + forbidden_words(words, NOT_IN_TUNE))
    return words


def distillation_flags(value: Any) -> Words | None:
    """None: there are no models that learn from the unpruned one."""
    if value is None:
        return None
    words, problems = read_flags(value)
    known = {flag(name): limits for name, limits in RANGES.items()}
    if not words or set(names(words)) - set(known):
        problems.append((shlex.join(words), f"must be one or more of {', '.join(known)}, each with its value"))
    refuse_values(problems)
    for name in dict.fromkeys(names(words)):
        low, high = known[name]
        if (
            not re.fullmatch(r"\d+(\.\d+)?", value_of(words, name) or "")
            or not low <= float(value_of(words, name) or 0) <= high
        ):
            problems.append((f"{name} {value_of(words, name)}", f"must be {low:g} to {high:g}"))
    refuse_values(problems)
    return words


def without_the_others(value: Any, info: Info) -> bool:
    only = yes_or_no(value)
    if only and info.data.get("distillation", ()) is None:
        raise Wrong((value, "there is no distillation; give it, such as --distillation-weight 0.5"))
    return only


def after_flags(value: Any, info: Info) -> dict[str, Words]:
    flags, problems = _named_flags(value, f'magnitude: "{SCORE} magnitude"')
    grid = info.data.get("grid")
    if flags and grid and not grid.amounts_of(weights=False):
        problems.append((", ".join(flags), "choose units; give grid.heads_to_keep or another budget"))
    wrong = {problem[0] for problem in problems}
    for name, words in flags.items():
        if name not in wrong and not {SCORE, RANGE, "--pruning-method"}.intersection(names(words)):
            remedy = f"must have {SCORE} (of dsp-fairseq importance), --pruning-method or {RANGE} LO:HI"
            problems.append((name, shlex.join(words), remedy))
        problems += [(name, *problem) for problem in forbidden_words(words, NOT_IN_AFTER)]
    refuse_values(problems)
    return flags


def tuning_flags(value: Any, info: Info) -> Words | dict[str, Words]:
    if not isinstance(value, dict):
        words, problems = read_flags(value)
        refuse_values(problems + forbidden_words(words, NOT_IN_TUNE))
        return words
    names_of = [info.data.get(key) or () for key in ("dense", "variants", "after")]
    grid = info.data.get("grid")
    known = [UNPRUNED, *(name for of in names_of for name in of), *(grid.method if grid else ())]
    flags, wrong = {}, []
    for name, given in value.items():
        flags[name], problems = read_flags(given)
        wrong += [(name, *problem) for problem in problems + forbidden_words(flags[name], NOT_IN_TUNE)]
        if name not in known and grid:
            wrong.append((name, given, f"no cell has this method; those of the sweep are {', '.join(known)}"))
    refuse_values(wrong)
    return flags
