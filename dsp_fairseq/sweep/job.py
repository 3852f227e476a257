"""A sweep from its file to its results: plan, checks, runs, result files."""

import contextlib
import importlib.util
import math
import os
import shlex
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from .. import pictures
from ..atomic import writing
from ..errors import refuse
from . import executors, logs, records
from .check import Parser, parsed
from .config import Config, read_config
from .estimate import estimate
from .flags import as_shell
from .lock import locked
from .plan import Cell, cells_of
from .progress import duration
from .results import Results, as_csv, collect
from .run import run_cells

PICTURES = ("curve.png", "heads.png")


class Plan(NamedTuple):
    """The cells of a sweep and how they are run, after all checks."""

    config: Config
    cells: list[Cell]
    jobs: int
    expected: str  # the time, in words
    cluster: str = executors.LOCAL
    slurm: Mapping[str, Any] = MappingProxyType({})  # parameters of its jobs, as submitit names them


class Outcome(NamedTuple):
    """The figures of all finished cells, and what is missing."""

    results: Results
    failures: list[str]  # a line for each cell that failed
    stopped: bool  # the time was up before all cells had been tried


def plan(
    path: str,
    out: str | None,
    jobs: int | None,
    with_pictures: bool = True,
    cluster: str = executors.LOCAL,
    slurm: dict[str, Any] | None = None,
    choice: Parser | None = None,
) -> Plan:
    """Raises BadInput with the problems of the file or, if it has none, with those of the commands of the cells."""
    on_slurm = cluster == executors.SLURM
    problems = [] if jobs is None or jobs > 0 else [f"--jobs {jobs}: must be 1 or more"]
    problems += executors.slurm_problems() if on_slurm else []
    problems += pictures_problems() if with_pictures else []
    refuse(problems)
    config = read_config(path, out)
    cells = cells_of(config)
    refuse(records.problems(cells) + ([] if on_slurm else records.slurm_problems(cells)))
    arguments = parsed([cell for cell in cells if not records.read(cell).trained], choice)
    jobs = jobs or (len(cells) if on_slurm else 1)
    seconds, basis = estimate(cells, None if on_slurm else arguments, jobs)
    expected = f"about {duration(seconds)} ({basis})" if seconds else basis
    return Plan(config, cells, jobs, expected, cluster, slurm or {})


def pictures_problems() -> list[str]:
    missing = importlib.util.find_spec("matplotlib") is None
    return ["matplotlib is not installed: pip install matplotlib, or leave the pictures out with --no-plots"] * missing


def as_text(todo: Plan) -> str:
    """The commands of every cell, to copy into a shell, and the time."""
    variables = " ".join(f"{name}={value}" for name, value in executors.environment().items())
    lines = [f"export {variables}", ""]
    for cell in todo.cells:
        # fairseq-train opens its log before it makes the folder
        words = [("mkdir", "-p", cell.folder), cell.before, cell.train]
        commands = [*map(as_shell, filter(None, words))]
        commands += [f"{as_shell(cell.validate)} >{shlex.quote(cell.train_log)}"] if cell.validate else []
        lines += [f"# {cell.name}: {_state(cell)}", *commands, as_shell(cell.evaluate), ""]
    return "\n".join([*lines, f"# {len(todo.cells)} cells, time: {todo.expected}"])


def _state(cell: Cell) -> str:
    record = records.read(cell)
    if record.evaluated:
        return "done"
    if record.trained:
        return f"trained, to be {cell.evaluation.done}"
    updates = logs.progress(cell).updates
    if os.path.isfile(cell.checkpoint):
        return f"goes on, {updates} updates were logged"
    return f"to be trained and {cell.evaluation.done}"


def run(todo: Plan, with_pictures: bool = True, until: float = math.inf) -> Outcome:
    """Runs what is left until ``time.monotonic()`` reaches ``until``; writes the results of all finished cells."""
    failures = make(todo, until=until)
    results, problems = collect(todo.cells, todo.config)
    if results.rows:
        _write(results, todo, with_pictures)
    unfinished = len(failures) < len([cell for cell in todo.cells if not records.read(cell).evaluated])
    return Outcome(results, failures + problems, unfinished)


def make(todo: Plan, folder: str | None = None, until: float = math.inf) -> list[str]:
    """Runs the cells that are left; returns a line for each cell that failed.

    A sweep locks its own folder. A program that runs a few of its cells locks ``folder`` instead, and shares the lock
    of the sweep's folder with other such programs.
    """
    out = todo.config.out
    os.makedirs(folder or out, exist_ok=True)
    with contextlib.ExitStack() as stack:
        locks = [stack.enter_context(locked(out, shared=folder is not None))]
        locks += [stack.enter_context(locked(folder))] if folder else []
        refuse(records.problems(todo.cells))  # again: another sweep may have ended only now
        for cell in todo.cells:
            os.makedirs(cell.folder, exist_ok=True)
            records.write(cell, records.read(cell))
        executor = stack.enter_context(executors.opened(todo.cluster, folder or out, tuple(locks), todo.slurm))
        return run_cells(todo.cells, todo.jobs, executor, until)


def _write(results: Results, todo: Plan, with_pictures: bool) -> None:
    from .table import as_markdown

    there = {row.cell.name for row in results.rows}
    missing = [cell.name for cell in todo.cells if cell.name not in there]
    _write_text(os.path.join(todo.config.out, "results.csv"), as_csv(results))
    _write_text(os.path.join(todo.config.out, "results.md"), as_markdown(results, todo.config, missing))
    if with_pictures:
        from . import curves, survival  # need matplotlib

        for name, draw in zip(PICTURES, (curves.draw_scores, survival.draw), strict=True):
            pictures.save(draw(results), os.path.join(todo.config.out, name), force=True)


def _write_text(path: str, text: str) -> None:
    with writing(path, force=True) as beside, open(beside, "w", encoding="utf-8") as file:
        file.write(text)
