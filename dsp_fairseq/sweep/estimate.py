"""Estimates the time of a sweep from its finished cells, or, before there are any, from the size of the trainings."""

import glob
import math
import os
import statistics
import struct
import time
from argparse import Namespace
from functools import cache
from typing import NamedTuple

from ..families import known_family
from . import executors, logs, records
from .plan import Cell

# an update takes _OVERHEAD times the time of its products of matrices, and _PER_UPDATE seconds more; both are measured
# with the quick start's model on one busy core. The first matters for large models, the second for small ones
_OVERHEAD, _PER_UPDATE = 1.2, 0.08
_START = 8.0  # seconds until the two commands of a cell have loaded everything
_FILLED = 0.8  # share of --max-tokens that a batch has, on either side
_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8}  # size of a number for each of fairseq's codes of types


class Estimate(NamedTuple):
    """Seconds until the end of the sweep, or None when they are unknown, and what the estimate is based on."""

    seconds: float | None
    basis: str


def estimate(cells: list[Cell], arguments: dict[str, Namespace] | None, jobs: int) -> Estimate:
    """Of what is left to do; ``arguments`` are those of the cells that are not evaluated yet, by name.

    Without them there is no guess from the size of the trainings: they run on other machines.
    """
    found = {cell.name: records.read(cell) for cell in cells}
    left = [cell for cell in cells if not found[cell.name].evaluated]
    if not left:
        return Estimate(0.0, "all cells are done")
    seconds = [(record.train_seconds, record.generate_seconds) for record in found.values()]
    done = [(train, generate) for train, generate in seconds if train is not None and generate is not None]
    if done:
        train, generate = (statistics.mean(each) for each in zip(*done, strict=True))
        times = [_left(cell, found[cell.name], train) + generate for cell in left]
        return Estimate(_side_by_side(times, jobs), f"from {len(done)} of {len(cells)} cells, which are done")
    if arguments is None:
        return Estimate(None, "unknown until the first cell is done")
    try:
        times = [
            _START
            + (
                0.0
                if found[name].trained
                else _left(cell, found[name], training_seconds(arguments[name]) if cell.trains else 0.0)
            )
            for name, cell in ((cell.name, cell) for cell in left)
        ]
    except (LookupError, OSError, struct.error, TypeError, ValueError) as error:
        return Estimate(None, f"unknown until the first cell is done ({error or type(error).__name__})")
    guess = "a guess from the trainings' size and this machine's speed, within a factor of 3"
    basis = f"{guess}; {cells[0].evaluation.doing} comes on top"
    return Estimate(_side_by_side(times, jobs), basis)


def _left(cell: Cell, record: records.Record, seconds: float) -> float:
    return 0.0 if record.trained else seconds * (1 - logs.progress(cell).share)


def _side_by_side(times: list[float], jobs: int) -> float:
    """Seconds when each of the jobs takes the next cell as soon as it is free."""
    ends = [0.0] * max(1, min(jobs, len(times)))
    for seconds in times:
        ends[ends.index(min(ends))] += seconds
    return max(ends)


def training_seconds(arguments: Namespace) -> float:
    """Seconds of one training on one core or on the GPU; raises LookupError when its length is unknown."""
    batch = _batch_tokens(arguments) * arguments.update_freq[0]
    updates = [arguments.max_update] if arguments.max_update else []
    if arguments.max_epoch:
        updates.append(arguments.max_epoch * math.ceil(_corpus(arguments)[1] / batch))
    if not updates:
        raise LookupError("without --max-update and --max-epoch nobody knows when a training ends")
    # forward and backward take 6 operations for each weight and word
    size = known_family(arguments).size(arguments, _vocabulary(arguments))
    speed = _operations_per_second(size.width, size.inner, arguments.cpu)
    return min(updates) * (_OVERHEAD * 6 * batch * size.weights / speed + _PER_UPDATE)


def _batch_tokens(arguments: Namespace) -> float:
    if arguments.max_tokens:
        return _FILLED * arguments.max_tokens
    sentences, tokens = _corpus(arguments)
    return arguments.batch_size * tokens / sentences


def _vocabulary(arguments: Namespace) -> int:
    """Number of lines of the largest dictionary."""
    folder = glob.escape(_data(arguments))
    paths = [path for name in ("dict.*.txt", "dict.txt") for path in glob.glob(os.path.join(folder, name))]
    counts = []
    for path in paths:
        with open(path, "rb") as file:
            counts.append(sum(1 for _ in file))
    return max(counts)


def _corpus(arguments: Namespace) -> tuple[int, float]:
    """Number of sentences of the training set, and of words of its longer side."""
    pattern = os.path.join(glob.escape(_data(arguments)), f"{arguments.train_subset}.*.idx")
    sentences, words = 0, []
    for path in [*glob.glob(pattern), *glob.glob(pattern.replace(".*.", "."))]:
        with open(path, "rb") as file:
            head = file.read(26)  # fairseq's MMapIndexedDataset: magic (9), version (8), type (1), sentences (8)
        kind, sentences = struct.unpack("<BQ", head[17:])
        words.append(os.path.getsize(f"{path[:-4]}.bin") / _BYTES[kind])
    if not words:
        raise LookupError(f"no {pattern}")
    return sentences, max(words)


def _data(arguments: Namespace) -> str:
    return arguments.data.split(os.pathsep)[0]


@cache
def _operations_per_second(width: int, inner: int, cpu: bool, seconds: float = 0.2) -> float:
    """Speed of products of matrices that have the size of a feed-forward layer."""
    import torch

    device = "cuda" if torch.cuda.is_available() and not cpu else "cpu"
    threads, words = torch.get_num_threads(), 1024
    torch.set_num_threads(int(executors.environment()["OMP_NUM_THREADS"]))
    left, right = torch.rand(words, width, device=device), torch.rand(width, inner, device=device)
    try:
        (left @ right)[0, 0].item()  # waits for a GPU
        start, count = time.perf_counter(), 0
        while time.perf_counter() - start < seconds:
            (left @ right)[0, 0].item()
            count += 1
        return 2 * words * width * inner * count / (time.perf_counter() - start)
    finally:
        torch.set_num_threads(threads)
