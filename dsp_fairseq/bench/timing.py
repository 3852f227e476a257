"""Times the variants in turns, batch by batch, so that a machine that slows down slows all of them alike."""

import gc
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy

from ..families.work import Input


class Round(NamedTuple):
    """Speed and latency of one variant in one round, from wall time."""

    sentences_per_second: float  # or other inputs
    tokens_per_second: float  # words of the outcomes: of the best translations with their ends, or of the samples
    latency_p50_ms: float  # latency of a single input
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
    """Times the same job of all variants on the same batches, in turns."""

    def __init__(self, jobs: list, batches: list[list[Input]], clock: Callable[[], float] = time.perf_counter):
        self._jobs, self._clock = jobs, clock
        # [variants][batches]
        self._prepared = [[job.prepare(batch) for batch in batches] for job in jobs]
        self.sentences = sum(map(len, batches))
        self.batches = len(batches)

    def take(self, turn: int, tick: Callable[[], object]) -> "tuple[numpy.ndarray, numpy.ndarray]":
        """Do the job on all batches once with every variant; variant ``turn`` begins.

        ``tick`` is called after every batch. Returns seconds and words of the outcomes, both [variants, batches].
        """
        seconds = numpy.zeros((len(self._jobs), self.batches))
        tokens = numpy.zeros((len(self._jobs), self.batches), dtype=int)
        for batch in range(self.batches):
            for place in range(len(self._jobs)):
                index = (place + batch + turn) % len(self._jobs)
                job = self._jobs[index]
                start = self._clock()
                done = job.run(self._prepared[index][batch])
                seconds[index, batch] = self._clock() - start
                tokens[index, batch] = sum(len(outcome.tokens) for outcome in job.outcomes(done))
                tick()
        return seconds, tokens


def measured_round(batches: Turns, singles: Turns, turn: int, tick: Callable[[], object]) -> list[Round]:
    """One round of every variant: first all batches, then single inputs."""
    gc.collect()
    seconds, tokens = batches.take(turn, tick)
    latencies, _ = singles.take(turn, tick)
    spent = seconds.sum(axis=1)  # [variants]
    p50, p95 = numpy.percentile(latencies * 1000, [50, 95], axis=1)  # [variants, sentences] -> [variants] each
    columns = (batches.sentences / spent, tokens.sum(axis=1) / spent, p50, p95)
    return [Round(*map(float, row)) for row in zip(*columns, strict=True)]
