"""Times the variants in turns, batch by batch, so that a machine that slows down slows all of them alike."""

import gc
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy

from .sentences import Sentence


class Round(NamedTuple):
    """Speed and latency of one variant in one round, from wall time."""

    sentences_per_second: float
    tokens_per_second: float  # words of the best translations, with the end of sentence
    latency_p50_ms: float  # latency of a batch of one sentence
    latency_p95_ms: float


class Spread(NamedTuple):
    """Median, lowest and highest value over the rounds."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        return cls(float(numpy.median(values)), min(values), max(values))


class Turns:
    """Times all variants on the same batches, in turns."""

    def __init__(self, variants: list, batches: list[list[Sentence]], clock: Callable[[], float] = time.perf_counter):
        self._variants, self._clock = variants, clock
        # [variants][batches]
        self._prepared = [[variant.prepare(batch) for batch in batches] for variant in variants]
        self.sentences = sum(map(len, batches))
        self.batches = len(batches)

    def take(self, turn: int, tick: Callable[[], object]) -> "tuple[numpy.ndarray, numpy.ndarray]":
        """Translate all batches once with every variant; variant ``turn`` begins, ``tick`` is called after every batch.

        Returns seconds and words of the translations, both [variants, batches].
        """
        seconds = numpy.zeros((len(self._variants), self.batches))
        tokens = numpy.zeros((len(self._variants), self.batches), dtype=int)
        for batch in range(self.batches):
            for place in range(len(self._variants)):
                index = (place + batch + turn) % len(self._variants)
                variant = self._variants[index]
                start = self._clock()
                found = variant.translate(self._prepared[index][batch])
                seconds[index, batch] = self._clock() - start
                tokens[index, batch] = sum(len(best.tokens) for best in variant.hypotheses(found))
                tick()
        return seconds, tokens


def measured_round(batches: Turns, singles: Turns, turn: int, tick: Callable[[], object]) -> list[Round]:
    """One round of every variant: first all batches, then single sentences."""
    gc.collect()
    seconds, tokens = batches.take(turn, tick)
    latencies, _ = singles.take(turn, tick)
    spent = seconds.sum(axis=1)  # [variants]
    p50, p95 = numpy.percentile(latencies * 1000, [50, 95], axis=1)  # [variants, sentences] -> [variants] each
    columns = (batches.sentences / spent, tokens.sum(axis=1) / spent, p50, p95)
    return [Round(*map(float, row)) for row in zip(*columns, strict=True)]
