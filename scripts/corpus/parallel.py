"""A function of a line, on all lines of a file: in many processes, in order, with progress and lines/s."""

import contextlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import chain, islice
from pathlib import Path

from tqdm import tqdm

from .problem import Problem
from .text import lines_of, save_lines

BATCH = 1000  # lines; less would be spent on sending, more would keep the last process waiting
AHEAD = 4  # batches in flight per process: the whole file is never in memory

LineFunction = Callable[[str], str]
worker_function: LineFunction | None = None  # one per process: a tokeniser is slow to make and to send


def map_lines(source: Path, target: Path, make: Callable[[], LineFunction], jobs: int) -> None:
    """Write `make()(line)` for every line of SOURCE to TARGET, then print the throughput."""
    started = time.monotonic()
    with progress(target.name, None, 0, " lines") as bar:
        results = in_this_process(source, make) if jobs == 1 else in_processes(source, make, jobs)
        count = save_lines(counted(results, bar), target)
    seconds = max(time.monotonic() - started, 1e-9)
    print(f"{target.name}: {count} lines, {count / seconds:.0f} lines/s in {jobs} processes", flush=True)


def in_this_process(source: Path, make: Callable[[], LineFunction]) -> Iterator[str]:
    return map(make(), lines_of(source))


def in_processes(source: Path, make: Callable[[], LineFunction], jobs: int) -> Iterator[str]:
    waiting = deque()
    with ProcessPoolExecutor(jobs, initializer=prepare_worker, initargs=(make,)) as pool:
        try:
            for batch in batches(lines_of(source)):
                waiting.append(pool.submit(work, batch))
                if len(waiting) == AHEAD * jobs:
                    yield from waiting.popleft().result()
            yield from chain.from_iterable(done.result() for done in waiting)
        except BrokenProcessPool as error:
            raise Problem(
                f"a process that worked on {source} was killed, perhaps for want of memory: try again with fewer --jobs"
            ) from error
        finally:
            for future in waiting:
                future.cancel()


def batches(lines: Iterator[str]) -> Iterator[list[str]]:
    while batch := list(islice(lines, BATCH)):
        yield batch


def prepare_worker(make: Callable[[], LineFunction]) -> None:
    global worker_function
    worker_function = make()


def work(lines: list[str]) -> list[str]:
    return list(map(worker_function, lines))


def counted(lines: Iterator[str], bar: tqdm) -> Iterator[str]:
    for line in lines:
        bar.update()
        yield line


@contextlib.contextmanager
def progress(title: str, total: int | None, start: int, unit: str) -> Iterator[tqdm]:
    """A bar on the terminal of the script, whose descriptor is in PREPARE_TERMINAL: standard error is a log."""
    terminal = os.environ.get("PREPARE_TERMINAL")
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(open(int(terminal), "w", closefd=False)) if terminal else None
        options = {"unit_scale": True, "leave": False, "mininterval": 1, "disable": file is None}
        yield stack.enter_context(tqdm(desc=title, total=total, initial=start, unit=unit, file=file, **options))
