"""The variants to measure, and how each is made in this process and again in the process that measures its memory."""

import os
from collections.abc import Callable
from typing import Any, NamedTuple

from ..checkpoints.logit_origin import origin_of
from ..checkpoints.reading import kept_units_of, model_options
from ..errors import BadInput, flag, refuse
from ..export.dictionaries import load_dictionaries
from ..families import known_family
from ..importance.checkpoints import load_with_gates
from ..structures.heads import HEADS
from ..structures.layers import LAYERS
from ..structures.structure import STRUCTURES
from .exported import ExportedVariant
from .settings import EXPORTS, STOCK, VARIANTS, WITHOUT_BEING_ASKED, Decoding, Settings
from .variants import FairseqVariant, Subject, parameters_of


class Recipe(NamedTuple):
    """How to make one variant: ``make(*arguments)``, which can be sent to another process."""

    checkpoint: str
    variant: str
    heads: int  # kept
    original_heads: int
    others: dict[str, tuple[int, int]]  # other units that are kept, and that there were, by their noun
    parameters: int | None  # None for an export, which pads blocks to the same number of heads
    make: Callable
    arguments: tuple


def recipes_of(
    checkpoints: list[str], states: list[dict[str, Any]], settings: Settings, folder: str
) -> tuple[list[Recipe], list[str]]:
    """Recipes for the variants of all checkpoints, and a note for each that is left out.

    Exports are written into ``folder``.

    Raises BadInput when K is out of range, or an export is asked for and cannot be made.
    """
    recipes, notes = [], _notes_on_choice(checkpoints, states, settings.budgets)
    wanted = settings.variants or WITHOUT_BEING_ASKED
    subjects = _subjects(checkpoints, states, settings.budgets)
    for number, (checkpoint, subject) in enumerate(zip(checkpoints, subjects, strict=True)):
        counts = _counts(subject)
        heads = *counts.pop(HEADS.noun, (0, 0)), counts
        family = known_family(model_options(subject.state))
        for name in (name for name in VARIANTS if name in wanted):
            if name == STOCK and not family.stock:
                reason = f"fairseq has no model with the weights of {family.with_article}"
                if settings.variants:
                    raise BadInput(f"--with {name}: {checkpoint}: {reason}")
                notes.append(f"no {name} model of {checkpoint}: {reason}")
            elif name not in EXPORTS:
                arguments = name, checkpoint, settings.budgets, settings.decoding
                count = parameters_of(name, subject)
                recipes.append(Recipe(checkpoint, name, *heads, count, _fairseq_variant, arguments))
            else:
                try:
                    out = os.path.join(folder, f"{number}-{name}")
                    arguments = _exported(name, checkpoint, subject.state, settings, out)
                    recipes.append(Recipe(checkpoint, name, *heads, None, ExportedVariant, arguments))
                except BadInput as reason:
                    if settings.variants:
                        raise BadInput(f"--with {name}: {reason}") from reason
                    notes.append(f"no export of {checkpoint}: {reason}")
    return recipes, notes


def _counts(subject: Subject) -> dict[str, tuple[int, int]]:
    """For each structure of units, by its noun, how many are kept, and how many there were before any was removed."""
    whole, options = subject.before.original(), model_options(subject.state)
    counts = {
        STRUCTURES[name].noun: (subject.after.count_of(name), whole.count_of(name)) for name in subject.after.structures
    }
    gone = known_family(options).layers_after_removal(options)
    return counts if gone is None else {**counts, LAYERS.noun: gone}


def _notes_on_choice(checkpoints: list[str], states: list[dict[str, Any]], budgets: dict[str, str]) -> list[str]:
    """A note for each checkpoint whose logits do not rank its units, when a budget is given."""
    if not budgets:
        return []
    given = " ".join(f"{flag(name)} {value}" for name, value in budgets.items())
    origins = {path: origin_of(kept_units_of(state)) for path, state in zip(checkpoints, states, strict=True)}
    return [
        f"{given} of {checkpoint}: not by importance, its numbers are {origin.words}"
        for checkpoint, origin in origins.items()
        if not origin.ranks_units
    ]


def _subjects(checkpoints: list[str], states: list[dict[str, Any]], budgets: dict[str, str]) -> list[Subject]:
    subjects, problems = [], []
    for checkpoint, state in zip(checkpoints, states, strict=True):
        try:
            subjects.append(Subject.of(state, **budgets))
        except BadInput as problem:
            problems += [f"{checkpoint}: {line}" for line in str(problem).splitlines()]
    refuse(problems)
    return subjects


def _fairseq_variant(name: str, checkpoint: str, budgets: dict[str, str], decoding: Decoding) -> FairseqVariant:
    return FairseqVariant(name, Subject.of(load_with_gates(checkpoint), **budgets), decoding)


def _exported(name: str, checkpoint: str, state: dict[str, Any], settings: Settings, out: str) -> tuple:
    """Write the export into ``out``; the arguments of :class:`ExportedVariant` for it."""
    from ..export.requirement import require_ctranslate2

    require_ctranslate2()
    if settings.decoding.half and settings.decoding.device == "cpu":
        raise BadInput("CTranslate2 does not compute in float16 on a CPU")
    from ..export.convert import export

    quantization = EXPORTS[name]
    export(checkpoint, out, quantization, settings.data, **settings.budgets)
    compute_type = "float32" if quantization == "none" else quantization
    return model_options(state), out, load_dictionaries(state, settings.data), settings.decoding, compute_type
