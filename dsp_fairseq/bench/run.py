"""The steps of a benchmark: load, measure memory, compare outcomes, measure time."""

import logging
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from tqdm import tqdm

from dsp_fairseq_startup.errors import BadCheckpoint

from ..checkpoints.building import task_of
from ..checkpoints.reading import model_options
from ..errors import BadInput, refuse
from ..families import known_family
from ..families.work import Input, Wording
from ..importance.checkpoints import load_with_gates
from . import memory
from .agreement import Agreement, compare_all
from .machine import describe
from .recipes import Recipe, recipes_of
from .results import Benchmark, Result
from .sentences import batches_of, largest, load_sentences, spread
from .settings import EXPORTS, Settings
from .timing import Round, Turns, measured_round

WARM_UP = 3  # how many single inputs are worked on before the first round


class Inputs(NamedTuple):
    """What every variant works on in a round."""

    batches: list[list[Input]]
    singles: list[list[Input]]  # batches of one


def bench(checkpoints: list[str], settings: Settings, problems: list[str]) -> Benchmark:
    """Measure all variants of the checkpoints in turns.

    Raises BadInput with ``problems`` and those of the settings and checkpoints, Failed when the variants of a
    checkpoint do not do the same.
    """
    states = _loaded(checkpoints, settings, problems)
    with _quiet():
        return _bench(checkpoints, states, settings)


def _bench(checkpoints: list[str], states: list[dict[str, Any]], settings: Settings) -> Benchmark:
    found = load_sentences(states[0], settings, states[1:])
    work = known_family(model_options(states[0])).work()
    singles = [[each] for each in spread(found.sentences, work.singles)]
    inputs = Inputs(batches_of(found.sentences, settings.decoding.batch_size), singles)
    with tempfile.TemporaryDirectory(prefix="dsp-fairseq-bench-") as folder:
        recipes, notes = recipes_of(checkpoints, states, settings, folder)
        states.clear()
        peaks = _peaks(recipes, settings, largest(inputs.batches))
        variants = [recipe.make(*recipe.arguments) for recipe in recipes]
        agreement, rounds = _measured(recipes, variants, settings, inputs, work.wording)
    results = [
        Result(r.checkpoint, r.variant, r.heads, r.original_heads, r.parameters, peak, done, r.others)
        for r, peak, done in zip(recipes, peaks, rounds, strict=True)
    ]
    return Benchmark(
        settings,
        work.wording,
        work.limits(settings.decoding),
        describe(settings.decoding.device),
        len(found.sentences),
        found.origin,
        agreement,
        results,
        [*notes, f"memory: {memory.HOW[settings.decoding.device] if settings.memory else 'not measured'}"],
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the log lines of loaded models and data sets."""
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def _loaded(checkpoints: list[str], settings: Settings, problems: list[str]) -> list[dict[str, Any]]:
    problems, states = [*problems, *settings.problems()], []
    for checkpoint in dict.fromkeys(checkpoints):
        try:
            states.append(load_with_gates(checkpoint))
            known_family(model_options(states[-1])).work()
        except (BadInput, BadCheckpoint) as problem:
            problems.append(str(problem))
        except LookupError as unknown:
            problems.append(f"checkpoint {checkpoint}: {unknown}")
    if len(checkpoints) > len(set(checkpoints)):
        problems.append("CKPT: the same checkpoint twice; name each once")
    refuse(problems)
    tasks = {known_family(model_options(state)).work().wording.task for state in states}
    if len(tasks) > 1:
        raise BadInput(f"CKPT: models of {' and of '.join(sorted(tasks))}; give those of one task")
    words = {len(task_of(state).source_dictionary) for state in states}
    if len(words) > 1:
        told = " and ".join(map(str, sorted(words)))
        raise BadInput(f"CKPT: source dictionaries of {told} words; the checkpoints must read the same words")
    return states


def _peaks(recipes: list[Recipe], settings: Settings, batch: list[Input]) -> list:
    """Peak memory of every variant in bytes; None where it is not measured."""
    if not settings.memory:
        return [None] * len(recipes)
    progress = tqdm(recipes, desc="memory", mininterval=1, leave=False, disable=None)
    return [memory.peak_bytes(recipe.make, recipe.arguments, settings.decoding, batch) for recipe in progress]


def _measured(
    recipes: list[Recipe], variants: list, settings: Settings, inputs: Inputs, wording: Wording
) -> tuple[dict[str, dict[str, Agreement]], list[list[Round]]]:
    """Agreement by checkpoint, and the rounds of every variant."""
    batches, singles = len(inputs.batches), len(inputs.singles)
    steps = len(variants) * (batches + settings.rounds * (batches + singles))
    with tqdm(total=steps, desc="compare", mininterval=1, leave=False, disable=None) as progress:
        agreement = _compared(recipes, variants, inputs.batches, wording, progress.update)
        progress.set_description("warm up")
        for variant in variants:
            if settings.decoding.half:
                variant.halve()
            variant.batches.run(variant.batches.prepare(largest(inputs.batches)))
            for single in inputs.singles[:WARM_UP]:
                variant.singles.run(variant.singles.prepare(single))
        turns = (
            Turns([variant.batches for variant in variants], inputs.batches),
            Turns([variant.singles for variant in variants], inputs.singles),
        )
        rounds = []
        for turn in range(settings.rounds):
            progress.set_description(f"round {turn + 1} of {settings.rounds}")
            rounds.append(measured_round(*turns, turn, progress.update))
    return agreement, [list(done) for done in zip(*rounds, strict=True)]  # [rounds][variants] -> [variants][rounds]


def _compared(
    recipes: list[Recipe], variants: list, batches: list[list[Input]], wording: Wording, tick: Callable[[], object]
) -> dict[str, dict[str, Agreement]]:
    found: dict[str, dict[str, list]] = {}
    for recipe, variant in zip(recipes, variants, strict=True):
        outcomes, job = found.setdefault(recipe.checkpoint, {}).setdefault(recipe.variant, []), variant.batches
        for batch in batches:
            outcomes += job.outcomes(job.run(job.prepare(batch)))
            tick()
    return {checkpoint: compare_all(by_variant, wording, EXPORTS) for checkpoint, by_variant in found.items()}
