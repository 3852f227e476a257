"""Runs the cells that are not done, a few at a time, each as one job that trains and decodes."""

import contextlib
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import submitit

from ..errors import Failed
from . import executors, logs, records, trained
from .plan import Cell
from .progress import Display, clock

_TRAINING = 0.9  # of a cell, in what the bar shows
_NO_ROOM = 1 << 20  # bytes; with less, a command may have failed without a word, for want of room for the word
_PAUSE, _SLURM_PAUSE = 0.25, 2.0  # seconds between two looks at the jobs


def run_cells(cells: list[Cell], jobs: int, executor: submitit.Executor) -> list[str]:
    """Every cell to its end; returns a line for each that failed.

    On any exception, KeyboardInterrupt and SIGTERM included, the jobs are stopped first. What was saved by then is
    where the next sweep goes on.
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
                    running.append(_Run(left.pop(0), jobs, executor, display))
                    del waiting[running[-1].cell.name]
                    running[-1].start()
                for run in [run for run in running if run.is_over()]:
                    running.remove(run)
                    failures += run.failures
                    done += 1
                shares = done + sum(_share(run.cell) for run in running) + sum(waiting.values())
                display.show(shares, {run.cell.name: run.state() for run in running})
                time.sleep(_SLURM_PAUSE if isinstance(executor, submitit.SlurmExecutor) else _PAUSE)
        finally:
            executors.stop(run.job for run in running if run.job)
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


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Signals wait for the end of the block."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _name_of(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # one of the real-time signals, most of which have no name
        return f"signal {number}"


class _Run:
    """A cell whose job is running: a training, unless there is one, and its decoding."""

    def __init__(self, cell: Cell, jobs: int, executor: submitit.Executor, display: Display):
        self.cell, self.jobs, self.executor, self.display = cell, jobs, executor, display
        self.failures: list[str] = []
        self.record = records.read(cell)
        self.job: Any = None  # a submitit.Job from start() on
        self.attached = False  # to a job that an earlier sweep has submitted

    def start(self) -> None:
        job_id = records.slurm_job(self.cell)
        if job_id is not None and not self.attached:
            self.attached = True
            self.job = executors.attach(os.path.dirname(self.cell.folder), job_id)
            told = f"job {job_id} was submitted before (if Slurm does not know it, remove"
            self.display.tell(f"{self.cell.name}: {told} {records.slurm_job_file(self.cell)})")
            return
        self.attached = False
        if not self.record.trained:
            self.display.tell(f"{self.cell.name}: training {self._beginning()}")
        with contextlib.suppress(FileNotFoundError):
            os.remove(self._unfinished)  # when it is there again, the training is over
        if not isinstance(self.executor, submitit.SlurmExecutor):
            self.job = executors.start(self.executor, self.cell.name, self._steps(), self._outcome)
            return
        with _uninterrupted():  # or a job would run whose number nobody knows
            self.job = executors.start(self.executor, self.cell.name, self._steps(), self._outcome)
            records.write_slurm_job(self.cell, self.job.job_id)

    def _steps(self) -> list[dict[str, Any]]:
        train = {"words": self.cell.train, "output": self.cell.train_output, "errors": None}
        generate = {"words": self.cell.generate, "output": self._unfinished, "errors": self.cell.generate_log}
        return [generate] if self.record.trained else [train, generate]

    def _beginning(self) -> str:
        """In a word; the log of a training that saved nothing is removed: it starts anew."""
        if os.path.isfile(self.cell.checkpoint):
            return f"goes on, {logs.progress(self.cell).updates} updates were logged"
        with contextlib.suppress(FileNotFoundError):
            os.remove(self.cell.train_log)
        return "starts"

    def state(self) -> str:
        """A few words for the display."""
        if self.job.state == "PENDING":
            return "in the queue"
        if self.record.trained:
            return "decoding"
        seen = logs.progress(self.cell)
        return f"update {seen.updates}" + (f", {seen.heads} heads" if seen.heads else "")

    @property
    def _unfinished(self) -> str:
        return f"{self.cell.translations}.partial"

    @property
    def _outcome(self) -> str:
        return self.cell.file("outcome.json")

    def is_over(self) -> bool:
        """Whether nothing is left to do for the cell; failures and records are written on the way."""
        over = self.job.done()  # asked once: it may end at any moment
        outcome = self._read_outcome() if over else None
        decoding = os.path.isfile(self._unfinished) or (outcome is not None and outcome["started"] > 1)
        if decoding and not self.record.trained and not self._trained():
            executors.stop([self.job])
            return self._forget()
        if not over:
            return False
        if outcome is None and self.attached:  # it was cancelled, or ended badly while no sweep was there to see it
            self._forget()
            self.start()
            return False
        if outcome is None or outcome["status"]:
            self._failed(outcome["status"] if outcome else None)
        else:
            self._decoded(outcome["seconds"])
        return self._forget()

    def _read_outcome(self) -> dict[str, Any] | None:
        """How the commands ended; None when the job has ended without telling."""
        try:
            with open(self._outcome, encoding="utf-8") as file:
                return json.load(file)
        except FileNotFoundError:
            return None

    def _forget(self) -> bool:
        """The job is over."""
        for path in (self._outcome, records.slurm_job_file(self.cell)):
            with contextlib.suppress(FileNotFoundError):
                os.remove(path)
        return True

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

    def _failed(self, status: int | None) -> None:
        """``status`` is None when the job was ended from outside."""
        command, paths = self._command_and_logs()
        told = logs.last_error(*paths)
        free = shutil.disk_usage(self.cell.folder).free
        if free < _NO_ROOM and "no space left" not in told.lower():
            told = f"{free:,} bytes are left on the disk of {self.cell.folder}, make room; it said: {told}"
        if status is None:
            told = f"its job {self.job.job_id} ended ({self.job.state}); before that: {told}"
        elif status < 0:
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
