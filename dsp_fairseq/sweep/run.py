"""Runs the cells that are not done, a few at a time, each as one job that trains and evaluates."""

import contextlib
import json
import math
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
from .amounts import HEADS_TO_KEEP
from .plan import Cell
from .progress import Display, clock

_TRAINING = 0.9  # share of the training in the progress of a cell
_NO_ROOM = 1 << 20  # bytes; with less free space a failed command may not even have written its message
_PAUSE, _SLURM_PAUSE = 0.25, 2.0  # seconds between two checks of the jobs


def run_cells(cells: list[Cell], jobs: int, executor: submitit.Executor, until: float = math.inf) -> list[str]:
    """Runs every cell to its end, all of one seed before the next; returns a line for each cell that failed.

    It stops early when ``time.monotonic()`` reaches ``until``. Then, and on any exception, KeyboardInterrupt and
    SIGTERM included, it stops the jobs. The next sweep goes on from what they have saved.
    """
    left = sorted((cell for cell in cells if not records.read(cell).evaluated), key=lambda cell: cell.seed)
    running: list[_Run] = []
    failures: list[str] = []
    done = len(cells) - len(left)
    waiting = {cell.name: _share(cell) for cell in left}
    with _interruptible(), Display(len(cells), done + sum(waiting.values())) as display:
        if done:
            display.tell(f"{done} of {len(cells)} cells were done before")
        try:
            while (left or running) and time.monotonic() < until:
                while len(running) < jobs and (cell := _next(left, running)):
                    left.remove(cell)
                    del waiting[cell.name]
                    run = _Run(cell, jobs, executor, display)
                    if run.can_start():
                        running.append(run)
                        run.start()
                    else:
                        failures += run.failures
                        done += 1
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


def _next(left: list[Cell], running: list["_Run"]) -> Cell | None:
    """The first cell that waits for no other one."""
    unfinished = {cell.folder for cell in left} | {run.cell.folder for run in running}
    return next((cell for cell in left if unfinished.isdisjoint(source.folder for source in cell.sources)), None)


def _share(cell: Cell) -> float:
    return _TRAINING * (1.0 if records.read(cell).trained else logs.progress(cell).share)


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM and a closed terminal end the sweep like Ctrl-C."""

    def interrupt(*_) -> None:
        raise KeyboardInterrupt

    # an ignored signal stays ignored: nohup keeps a sweep alive when its terminal is closed
    numbers = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) != signal.SIG_IGN]
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Delays signals until the end of the block.

    The commands that the block starts inherit the mask of signals. Other threads of this process do not have it and may
    receive a signal, so the handlers are delayed too.
    """
    numbers = signal.SIGINT, signal.SIGTERM, signal.SIGHUP
    seen: list[int] = []
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    active = [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, lambda caught, _: seen.append(caught)) for number in active}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for caught in seen:
            signal.raise_signal(caught)


def _name_of(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # one of the real-time signals, most of which have no name
        return f"signal {number}"


class _Run:
    """A cell whose job is running: its training, unless that is finished, and its evaluation."""

    def __init__(self, cell: Cell, jobs: int, executor: submitit.Executor, display: Display):
        self.cell, self.jobs, self.executor, self.display = cell, jobs, executor, display
        self.failures: list[str] = []
        self.record = records.read(cell)
        self.job: Any = None  # a submitit.Job from start() on
        self.attached = False  # to a job that an earlier sweep has submitted

    def can_start(self) -> bool:
        """Whether the checkpoints that the cell needs were made; if not, that is a failure of this cell too."""
        missing = next((cell for cell in self.cell.sources if not records.read(cell).trained), None)
        if missing is None:
            return True
        self._fail(f"{'starts' if missing is self.cell.start else 'learns'} from {missing.name}, which failed")
        return False

    def start(self) -> None:
        self.steps = self._steps()
        job_id = records.slurm_job(self.cell)
        if job_id is not None and not self.attached:
            self.attached = True
            self.job = executors.attach(os.path.dirname(self.cell.folder), job_id)
            told = f"job {job_id} was submitted before (if Slurm does not know it, remove"
            self.display.tell(f"{self.cell.name}: {told} {records.slurm_job_file(self.cell)})")
            return
        self.attached = False
        if not self.record.trained:
            self.display.tell(
                f"{self.cell.name}: {'training' if self.cell.trains else f'choice of {self._noun}'} {self._beginning()}"
            )
        with contextlib.suppress(FileNotFoundError):
            os.remove(self._unfinished)  # its reappearance shows that the training is over
        if not isinstance(self.executor, submitit.SlurmExecutor):
            self.job = executors.start(self.executor, self.cell.name, self.steps, self._outcome)
            return
        with _uninterrupted():  # an interruption here would leave a job whose number is not stored
            self.job = executors.start(self.executor, self.cell.name, self.steps, self._outcome)
            records.write_slurm_job(self.cell, self.job.job_id)

    def _steps(self) -> list[dict[str, Any]]:
        """The commands of the job, and the files for what they print."""
        cell = self.cell
        errors = cell.evaluation_log if cell.evaluation.separates else None
        evaluate = {"words": cell.evaluate, "output": self._unfinished, "errors": errors}
        before = {"words": cell.before, "output": cell.file("before.txt"), "errors": None}
        train = {"words": cell.train, "output": cell.train_output, "errors": None}
        validate = {"words": cell.validate, "output": cell.train_log, "errors": cell.file("validate.log")}
        making = [] if self.record.trained else [step for step in (before, train, validate) if step["words"]]
        return [*making, evaluate]

    def _beginning(self) -> str:
        """How the job begins, in a few words; removes the log of a training that has saved no checkpoint."""
        if self.cell.trains and os.path.isfile(self.cell.checkpoint):
            return f"goes on, {logs.progress(self.cell).updates} updates were logged"
        with contextlib.suppress(FileNotFoundError):
            os.remove(self.cell.train_log)
        return "starts"

    def state(self) -> str:
        """A few words for the display."""
        if self.job.state == "PENDING":
            return "in the queue"
        if self.record.trained:
            return self.cell.evaluation.doing
        seen = logs.progress(self.cell)
        return f"update {seen.updates}" + (f", {seen.heads} heads" if seen.heads else "")

    @property
    def _noun(self) -> str:
        amount = self.cell.amount
        return "heads" if amount is None or amount.option == HEADS_TO_KEEP else "units"

    @property
    def _unfinished(self) -> str:
        return f"{self.cell.printed}.partial"

    @property
    def _outcome(self) -> str:
        return self.cell.file("outcome.json")

    def is_over(self) -> bool:
        """Whether the cell needs no more work; updates its record and its failures."""
        over = self.job.done()  # asked only once, because the job may end at any moment
        outcome = self._read_outcome() if over else None
        evaluating = os.path.isfile(self._unfinished) or (outcome is not None and outcome["started"] == len(self.steps))
        if evaluating and not self.record.trained and not self._trained():
            executors.stop([self.job])
            return self._forget()
        if not over:
            return False
        if outcome is None and self.attached:  # it was cancelled, or failed while no sweep was running
            self._forget()
            self.start()
            return False
        if outcome is None or outcome["status"]:
            self._failed(outcome)
        else:
            self._evaluated(outcome["seconds"])
        return self._forget()

    def _read_outcome(self) -> dict[str, Any] | None:
        """The outcome that the job wrote (:mod:`steps`); None: it ended without writing one."""
        try:
            with open(self._outcome, encoding="utf-8") as file:
                return json.load(file)
        except FileNotFoundError:
            return None

    def _forget(self) -> bool:
        """Removes the files of the finished job; returns True."""
        for path in (self._outcome, records.slurm_job_file(self.cell)):
            with contextlib.suppress(FileNotFoundError):
                os.remove(path)
        return True

    def _trained(self) -> bool:
        """Whether the training has left a checkpoint that can be evaluated."""
        try:
            found = trained.read(self.cell)
        except Failed as problem:
            self._fail(f"{self.cell.train[0]} ended well, but {problem}")
            return False
        self.record = self.record._replace(**found._asdict())
        records.write(self.cell, self.record)
        made = f"trained in {clock(found.train_seconds)}" if self.cell.trains else f"{self._noun} are chosen"
        self.display.tell(f"{self.cell.name}: {made}")
        return True

    def _evaluated(self, seconds: float) -> None:
        os.replace(self._unfinished, self.cell.printed)
        self.record = self.record._replace(generate_seconds=round(seconds, 1), jobs=self.jobs)
        records.write(self.cell, self.record)
        self.display.tell(f"{self.cell.name}: {self.cell.evaluation.done} in {clock(seconds)}")

    def _failed(self, outcome: dict[str, Any] | None) -> None:
        """``outcome`` is None when the job was ended from outside."""
        evaluating = len(self.steps) == 1
        step = self.steps[outcome["started"] - 1 if outcome else 0 if evaluating else -2]
        paths = [path for path in (step["errors"], step["output"]) if path]
        told = logs.last_error(*paths)
        free = shutil.disk_usage(self.cell.folder).free
        if free < _NO_ROOM and "no space left" not in told.lower():
            told = f"{free:,} bytes are left on the disk of {self.cell.folder}, make room; it said: {told}"
        if outcome is None:
            told = f"its job {self.job.job_id} ended ({self.job.state}); before that: {told}"
        elif outcome["status"] < 0:
            told = f"killed by {_name_of(-outcome['status'])}, perhaps for want of memory; before that: {told}"
        self._fail(f"{step['words'][0]} failed: {told} (all of it: {paths[0]})")

    def _fail(self, told: str) -> None:
        line = f"{self.cell.name}: {told}"
        self.failures.append(line)
        self.display.tell(line)
