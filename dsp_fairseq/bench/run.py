"""The steps of a benchmark: load, measure memory, compare translations, measure time."""

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
from ..importance.checkpoints import load_with_gates
from . import memory
from .agreement import Agreement, compare_all
from .machine import describe
from .recipes import Recipe, recipes_of
from .results import Benchmark, Result
from .sentences import Sentence, batches_of, largest, load_sentences, spread
from .settings import EXPORTS, Settings
from .timing import Round, Turns, measured_round

SINGLES = 50  # sentences that are translated one by one in each round
WARM_UP = 3  # how many of these are translated before the first round


class Work(NamedTuple):
    """The sentences that every variant translates in a round."""

    batches: list[list[Sentence]]
    singles: list[list[Sentence]]  # batches of one


def bench(checkpoints: list[str], settings: Settings, problems: list[str]) -> Benchmark:
    """Measure all variants of the checkpoints in turns.

    Raises BadInput with ``problems`` and those of the settings and checkpoints, Failed when the variants of a
    checkpoint do not translate alike.
    """
    states = _loaded(checkpoints, settings, problems)
    with _quiet():
        return _bench(checkpoints, states, settings)


def _bench(checkpoints: list[str], states: list[dict[str, Any]], settings: Settings) -> Benchmark:
    found = load_sentences(states[0], settings)
    singles = [[sentence] for sentence in spread(found.sentences, SINGLES)]
    work = Work(batches_of(found.sentences, settings.decoding.batch_size), singles)
    with tempfile.TemporaryDirectory(prefix="dsp-fairseq-bench-") as folder:
        recipes, notes = recipes_of(checkpoints, states, settings, folder)
        states.clear()
        peaks = _peaks(recipes, settings, largest(work.batches))
        variants = [recipe.make(*recipe.arguments) for recipe in recipes]
        agreement, rounds = _measured(recipes, variants, settings, work)
    results = [
        Result(r.checkpoint, r.variant, r.heads, r.original_heads, r.parameters, peak, done)
        for r, peak, done in zip(recipes, peaks, rounds, strict=True)
    ]
    return Benchmark(
        settings,
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
            family = known_family(model_options(states[-1]))
            if not family.translates:
                problems.append(f"checkpoint {checkpoint}: {family.with_article} does not translate, which bench times")
        except (BadInput, BadCheckpoint) as problem:
            problems.append(str(problem))
    if len(checkpoints) > len(set(checkpoints)):
        problems.append("CKPT: the same checkpoint twice; name each once")
    refuse(problems)
    words = {len(task_of(state).source_dictionary) for state in states}
    if len(words) > 1:
        told = " and ".join(map(str, sorted(words)))
        raise BadInput(f"CKPT: source dictionaries of {told} words; the checkpoints must read the same sentences")
    return states


def _peaks(recipes: list[Recipe], settings: Settings, batch: list[Sentence]) -> list:
    """Peak memory of every variant in bytes; None where it is not measured."""
    if not settings.memory:
        return [None] * len(recipes)
    progress = tqdm(recipes, desc="memory", mininterval=1, leave=False, disable=None)
    return [memory.peak_bytes(recipe.make, recipe.arguments, settings.decoding, batch) for recipe in progress]


def _measured(
    recipes: list[Recipe], variants: list, settings: Settings, work: Work
) -> tuple[dict[str, dict[str, Agreement]], list[list[Round]]]:
    """Agreement by checkpoint, and the rounds of every variant."""
    batches, singles = len(work.batches), len(work.singles)
    steps = len(variants) * (batches + settings.rounds * (batches + singles))
    with tqdm(total=steps, desc="compare", mininterval=1, leave=False, disable=None) as progress:
        agreement = _compared(recipes, variants, work.batches, progress.update)
        progress.set_description("warm up")
        for variant in variants:
            if settings.decoding.half:
                variant.halve()
            for batch in [largest(work.batches), *work.singles[:WARM_UP]]:
                variant.translate(variant.prepare(batch))
        turns = Turns(variants, work.batches), Turns(variants, work.singles)
        rounds = []
        for turn in range(settings.rounds):
            progress.set_description(f"round {turn + 1} of {settings.rounds}")
            rounds.append(measured_round(*turns, turn, progress.update))
    return agreement, [list(done) for done in zip(*rounds, strict=True)]  # [rounds][variants] -> [variants][rounds]


def _compared(
    recipes: list[Recipe], variants: list, batches: list[list[Sentence]], tick: Callable[[], object]
) -> dict[str, dict[str, Agreement]]:
    found: dict[str, dict[str, list]] = {}
    for recipe, variant in zip(recipes, variants, strict=True):
        hypotheses = found.setdefault(recipe.checkpoint, {}).setdefault(recipe.variant, [])
        for batch in batches:
            hypotheses += variant.hypotheses(variant.translate(variant.prepare(batch)))
            tick()
    return {checkpoint: compare_all(by_variant, may_differ=EXPORTS) for checkpoint, by_variant in found.items()}
