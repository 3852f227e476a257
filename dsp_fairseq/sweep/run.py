"""Runs the commands of all cells that are not done, a few at a time."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import Failed
from . import children, logs, records, trained
from .plan import Cell, Words
from .progress import Display, clock

_TRAINING = 0.9  # of a cell, in what the bar shows
_NO_ROOM = 1 << 20  # bytes; with less, a command may have failed without a word, for want of room for the word
_PAUSE = 0.25  # seconds between two looks at the children


def run_cells(cells: list[Cell], jobs: int, lock: int) -> list[str]:
    """Every cell to its end; returns a line for each that failed.

    On any exception, KeyboardInterrupt and SIGTERM included, the children are stopped first. What was saved
    by then is where the next sweep goes on.
    """
    left = [cell for cell in cells if not records.read(cell).decoded]
    running: list[_Run] = []
    failures: list[str] = []
    done = len(cells) - len(left)
    waiting = {cell.name: _share(cell) for cell in left}
    with _interruptible(), Display(len(cells), done + sum(waiting.values())) as display:
        if done:
            display.tell(f"{done} of {len(cells)} cells were done before")
        try:
            while left or running:
                while left and len(running) < jobs:
                    running.append(_Run(left.pop(0), jobs, lock, display))
                    del waiting[running[-1].cell.name]
                for run in [run for run in running if run.is_over()]:
                    running.remove(run)
                    failures += run.failures
                    done += 1
                shares = done + sum(_share(run.cell) for run in running) + sum(waiting.values())
                display.show(shares, {run.cell.name: run.state() for run in running})
                time.sleep(_PAUSE)
        finally:
            children.stop(run.child for run in running)
    return failures


def _share(cell: Cell) -> float:
    return _TRAINING * (1.0 if records.read(cell).trained else logs.progress(cell).share)


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM and a closed terminal end the sweep like Ctrl-C."""

    def interrupt(*_) -> None:
        raise KeyboardInterrupt

    # what is ignored stays so: nohup keeps a sweep alive when its terminal is closed
    numbers = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) != signal.SIG_IGN]
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _name_of(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # one of the real-time signals, most of which have no name
        return f"signal {number}"


class _Run:
    """A cell that is being trained or decoded."""

    def __init__(self, cell: Cell, jobs: int, lock: int, display: Display):
        self.cell, self.jobs, self.lock, self.display = cell, jobs, lock, display
        self.failures: list[str] = []
        self.record = records.read(cell)
        self.child: subprocess.Popen
        self._next()

    def state(self) -> str:
        """A few words for the display."""
        if self.record.trained:
            return "decoding"
        seen = logs.progress(self.cell)
        return f"update {seen.updates}" + (f", {seen.heads} heads" if seen.heads else "")

    def is_over(self) -> bool:
        """Whether nothing is left to do for the cell; goes on to its next command when one ended."""
        status = self.child.poll()
        if status is None:
            return False
        seconds = time.monotonic() - self.started
        if status:
            self._failed(status)
            return True
        if not self.record.trained:
            if self._trained():
                self._next()
                return False
            return True
        self._decoded(seconds)
        return True

    def _next(self) -> None:
        self.started = time.monotonic()
        if self.record.trained:
            words, paths = self.cell.generate, (self._unfinished, self.cell.generate_log)
        else:
            words, paths = self.cell.train, (self.cell.train_output, None)
            self.display.tell(f"{self.cell.name}: training {self._beginning()}")
        self.child = self._start(words, *paths)

    def _beginning(self) -> str:
        """In a word; the log of a training that saved nothing is removed: it starts anew."""
        if os.path.isfile(self.cell.checkpoint):
            return f"goes on, {logs.progress(self.cell).updates} updates were logged"
        if os.path.isfile(self.cell.train_log):
            os.remove(self.cell.train_log)
        return "starts"

    def _start(self, words: Words, output: str, errors: str | None) -> subprocess.Popen:
        with open(output, "wb") as out:
            if errors is None:
                return children.start(words, out, out, self.lock)
            with open(errors, "wb") as err:
                return children.start(words, out, err, self.lock)

    @property
    def _unfinished(self) -> str:
        return f"{self.cell.translations}.partial"

    def _trained(self) -> bool:
        """Whether the training has left a checkpoint that can be decoded."""
        try:
            found = trained.read(self.cell.checkpoint)
        except Failed as problem:
            self._fail(f"fairseq-train ended well, but {problem}")
            return False
        self.record = self.record._replace(train_seconds=found.seconds, kept=found.kept, heads=found.heads)
        records.write(self.cell, self.record)
        self.display.tell(f"{self.cell.name}: trained in {clock(found.seconds)}")
        return True

    def _decoded(self, seconds: float) -> None:
        os.replace(self._unfinished, self.cell.translations)
        self.record = self.record._replace(generate_seconds=round(seconds, 1), jobs=self.jobs)
        records.write(self.cell, self.record)
        self.display.tell(f"{self.cell.name}: decoded in {clock(seconds)}")

    def _failed(self, status: int) -> None:
        command, paths = self._command_and_logs()
        told = logs.last_error(*paths)
        free = shutil.disk_usage(self.cell.folder).free
        if free < _NO_ROOM and "no space left" not in told.lower():
            told = f"{free:,} bytes are left on the disk of {self.cell.folder}, make room; it said: {told}"
        if status < 0:
            told = f"killed by {_name_of(-status)}, perhaps for want of memory; before that: {told}"
        self._fail(f"{command} failed: {told} (all of it: {paths[0]})")

    def _fail(self, told: str) -> None:
        line = f"{self.cell.name}: {told}"
        self.failures.append(line)
        self.display.tell(line)

    def _command_and_logs(self) -> tuple[str, list[str]]:
        if self.record.trained:
            return self.cell.generate[0], [self.cell.generate_log, self._unfinished]
        return self.cell.train[0], [self.cell.train_output]
