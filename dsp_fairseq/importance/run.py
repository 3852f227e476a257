"""``dsp-fairseq importance`` from start to end: importances, removal of units, and the checkpoint that it writes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from dsp_fairseq_startup.errors import BadCheckpoint

from ..atomic import check_target, writing
from ..checkpoints.reading import KeptUnits, budgets_of, kept_units_of, with_mask
from ..collisions import collisions
from ..errors import BadInput, refuse
from ..gates.choice import Choice
from ..option_names import LIMITS
from ..options.budget import Budget
from ..structures.inventory import Inventory
from . import GRADIENT, NONE, RANDOM
from .checkpoints import decoding, load_with_gates, model_of, with_feed_forward, with_layers, writing_checkpoint
from .gradient import GradientImportance
from .ranking import Ranking, normalised, ranks, remove_units
from .result import Result
from .sentences import Sentences, load_sentences
from .settings import Settings, folder_problems
from .weights import magnitude_importance, random_importance


class Job(NamedTuple):
    """Checked inputs of a ranking."""

    state: dict[str, Any]  # the checkpoint; one of a stock model has got gates
    model: Any
    kept: KeptUnits  # the units before the removal
    choose: Callable[[Inventory], Choice]
    sentences: Sentences | None  # None unless the score is the gradient


def rank(checkpoint: str, out: str, settings: Settings, json_file: str | None = None, force: bool = False) -> Result:
    """Write ``out``: ``checkpoint`` with its least important units masked and its weights unchanged.

    Its importance logits are ranks (see :func:`ranks`): ``prune`` of it with a smaller K takes the units that
    were the most important when K was reached, with a larger one those that went last besides, within the
    limits per block. Budgets per kind were kept to for K itself.

    Args:
        json_file: file for the importances; None: not written.
        force: overwrite both files.

    Raises:
        BadInput: everything that is wrong with the settings, the checkpoint and the data, one line each.
        Failed: an importance is not finite, or ``out`` could not be written.
    """
    job = _prepare(checkpoint, settings, [out, json_file] if json_file else [out], force)
    ranking = _remove(job, settings)
    result = Result(checkpoint, settings, job.kept, ranking, job.sentences)
    logits = ranks(ranking, job.kept.logits)
    ranked = decoding(job.state, job.model, ranking.mask, logits, _limits_of(job.kept, settings, ranking.mask, logits))
    with writing_checkpoint(ranked, out, ranking.mask, force):
        if json_file:
            with writing(json_file, force) as beside, open(beside, "w", encoding="utf-8") as file:
                file.write(result.as_json() + "\n")
    return result


def _prepare(checkpoint: str, settings: Settings, files: list[str], force: bool) -> Job:
    problems: list[str] = [*settings.problems(), *folder_problems(settings.data)]
    state = model = kept = choose = sentences = None
    for path, option in zip(files, ("", "--json "), strict=False):
        with _noting(problems, option):
            check_target(path, force)
    problems += collisions(dict(zip(("OUT", "--json"), files, strict=False)), [checkpoint])
    with _noting(problems):
        state = load_with_gates(checkpoint)
        if settings.is_about_feed_forward:
            state = with_feed_forward(state, settings.ffn_group)
        if settings.layers_to_keep is not None:
            state = with_layers(state)
        kept = kept_units_of(state)
        model = model_of(with_mask(state, kept.mask))
    if model is not None:
        with _noting(problems):
            choose = chooser(kept, settings)
    if settings.score == GRADIENT and model is not None and settings.data and not folder_problems(settings.data):
        with _noting(problems):
            sentences = _sentences(state, settings.data, settings)
    refuse(problems)
    assert choose is not None  # otherwise a problem was found
    return Job(state, model, kept, choose, sentences)


def _sentences(state: dict[str, Any], data: str, settings: Settings) -> Sentences:
    read = settings.read
    return load_sentences(state, data, read["subset"], read["sentences"], read["max_tokens"], read["seed"])


@contextmanager
def _noting(problems: list[str], prefix: str = "") -> Iterator[None]:
    """Append the lines of BadInput and BadCheckpoint to ``problems`` instead of raising them."""
    try:
        yield
    except (BadInput, BadCheckpoint) as problem:
        problems += [prefix + line for line in str(problem).splitlines()]


def chooser(kept: KeptUnits, settings: Settings) -> Callable[[Inventory], Choice]:
    """A function from the inventory of some of the units to the choice among them.

    Limits that are not given are those of the training.

    Raises BadInput when the units that are open now do not allow the budget and the limits.
    """
    choose = Budget.of({**_limits(kept, settings), **settings.budgets}).choice
    open_now = kept.inventory.keeping(kept.mask.tolist())
    try:
        choose(open_now)
    except BadInput as problem:
        if open_now.units == open_now.original_units:
            raise
        note = f" (the checkpoint decodes with {open_now.units} of {open_now.original_units})"
        raise BadInput("\n".join(line + note for line in str(problem).splitlines())) from problem
    return choose


def _limits(kept: KeptUnits, settings: Settings) -> dict[str, Any]:
    """Limits that are given; for the others the limits of the training."""
    # negative values are refused by Settings.problems
    said = {name: value for name, value in settings.given.items() if name in LIMITS and value >= 0}
    return {**{name: getattr(kept.options, name, None) for name in LIMITS}, **said}


def _limits_of(kept: KeptUnits, settings: Settings, mask: Tensor, logits: Tensor) -> dict[str, Any]:
    """The limits that the written checkpoint stores: all, or all but the floor where it would open closed units.

    A block can have fewer open units than the floor; a later prune must not open its closed units.
    """
    limits = _limits(kept, settings)
    try:
        choice = Budget.of({**limits, **budgets_of(mask, kept.inventory)}).choice(kept.inventory)
        holds = torch.equal(choice.mask(logits), mask)
    except BadInput:
        holds = False
    return limits if holds else {**limits, "min_heads_per_block": None, "min_ffn_per_block": None}


def _remove(job: Job, settings: Settings) -> Ranking:
    sentences = len(job.sentences) if job.sentences is not None else 0
    with tqdm(unit=" sentences", disable=None if sentences else True) as bar:

        def begin(number: int, steps: int) -> None:
            bar.total = steps * sentences
            bar.set_description_str(f"step {number} of {steps}")

        importance_of = _importance(job, settings, bar.update)
        return remove_units(job.kept.inventory, job.kept.mask, job.choose, settings.step, importance_of, begin)


def _importance(job: Job, settings: Settings, tell: Callable[[int], Any]) -> Callable[[Tensor], Tensor]:
    """A function from the open units, bool [H], to importances [H]; closed units have importance 0."""
    if settings.score == RANDOM:
        numbers = random_importance(job.kept.inventory.units, settings.read["seed"])
        return lambda mask: numbers * mask
    if job.sentences is not None:
        found: Callable[[Tensor], Tensor] = GradientImportance(job.model, job.sentences, tell)
    else:
        found = partial(torch.mul, magnitude_importance(job.model))
    blocks = job.kept.inventory.blocks
    costs = torch.ones(len(job.kept.mask), dtype=torch.float64)
    if settings.parameters_to_keep is not None:
        costs = torch.cat([torch.full((block.units,), float(block.cost), dtype=torch.float64) for block in blocks])
    if settings.read["normalise"] == NONE:
        return lambda mask: found(mask) / costs
    return lambda mask: normalised(found(mask), job.kept.inventory.sizes) / costs
