"""The whole job: a plan, its check, the runs, the files that come out."""

import importlib.util
import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from .. import pictures
from ..atomic import writing
from ..errors import refuse
from . import executors, logs, records
from .check import parsed
from .config import Config, read_config
from .estimate import estimate
from .lock import locked
from .plan import Cell, as_shell, cells_of
from .progress import duration
from .results import Results, as_csv, collect
from .run import run_cells

PICTURES = ("curve.png", "heads.png")


class Plan(NamedTuple):
    """What is to be done, found to be in order."""

    config: Config
    cells: list[Cell]
    jobs: int
    expected: str  # the time, in words
    cluster: str = executors.LOCAL
    slurm: Mapping[str, Any] = MappingProxyType({})  # parameters of its jobs, as submitit names them


class Outcome(NamedTuple):
    """What came out, and a line for each cell that failed."""

    results: Results
    failures: list[str]


def plan(
    path: str,
    out: str | None,
    jobs: int | None,
    with_pictures: bool = True,
    cluster: str = executors.LOCAL,
    slurm: dict[str, Any] | None = None,
) -> Plan:
    """Raises BadInput with what is wrong with the file; when nothing is, with what fairseq-train would refuse."""
    on_slurm = cluster == executors.SLURM
    problems = [] if jobs is None or jobs > 0 else [f"--jobs {jobs}: must be 1 or more"]
    problems += executors.slurm_problems() if on_slurm else []
    problems += pictures_problems() if with_pictures else []
    refuse(problems)
    config = read_config(path, out)
    cells = cells_of(config)
    refuse(records.problems(cells) + ([] if on_slurm else records.slurm_problems(cells)))
    arguments = parsed([cell for cell in cells if not records.read(cell).trained])
    jobs = jobs or (len(cells) if on_slurm else 1)
    seconds, basis = estimate(cells, None if on_slurm else arguments, jobs)
    expected = f"about {duration(seconds)} ({basis})" if seconds else basis
    return Plan(config, cells, jobs, expected, cluster, slurm or {})


def pictures_problems() -> list[str]:
    missing = importlib.util.find_spec("matplotlib") is None
    return ["matplotlib is not installed: pip install matplotlib, or leave the pictures out with --no-plots"] * missing


def as_text(todo: Plan) -> str:
    """The commands of every cell, to copy into a shell, and the time."""
    lines = [f"export OMP_NUM_THREADS={executors.threads()}", ""]
    for cell in todo.cells:
        # fairseq-train opens its log before it makes the folder
        commands = [("mkdir", "-p", cell.folder), cell.train, cell.generate]
        lines += [f"# {cell.name}: {_state(cell)}", *map(as_shell, commands), ""]
    return "\n".join([*lines, f"# {len(todo.cells)} cells, time: {todo.expected}"])


def _state(cell: Cell) -> str:
    record = records.read(cell)
    if record.decoded:
        return "done"
    if record.trained:
        return "trained, to be decoded"
    updates = logs.progress(cell).updates
    return f"goes on, {updates} updates were logged" if os.path.isfile(cell.checkpoint) else "to be trained and decoded"


def run(todo: Plan, with_pictures: bool = True) -> Outcome:
    """Run what is left, write the results of all that is done."""
    os.makedirs(todo.config.out, exist_ok=True)
    with locked(todo.config.out) as lock:
        refuse(records.problems(todo.cells))  # again: another sweep may have ended only now
        for cell in todo.cells:
            os.makedirs(cell.folder, exist_ok=True)
            records.write(cell, records.read(cell))
        with executors.opened(todo.cluster, todo.config.out, lock, todo.slurm) as executor:
            failures = run_cells(todo.cells, todo.jobs, executor)
        results, problems = collect(todo.cells, todo.config)
        if results.rows:
            _write(results, todo, with_pictures)
    return Outcome(results, failures + problems)


def _write(results: Results, todo: Plan, with_pictures: bool) -> None:
    from .table import as_markdown

    there = {row.cell.name for row in results.rows}
    missing = [cell.name for cell in todo.cells if cell.name not in there]
    _write_text(os.path.join(todo.config.out, "results.csv"), as_csv(results))
    _write_text(os.path.join(todo.config.out, "results.md"), as_markdown(results, todo.config, missing))
    if with_pictures:
        from . import curves, survival  # need matplotlib

        for name, draw in zip(PICTURES, (curves.draw_heads, survival.draw), strict=True):
            pictures.save(draw(results), os.path.join(todo.config.out, name), force=True)


def _write_text(path: str, text: str) -> None:
    with writing(path, force=True) as beside, open(beside, "w", encoding="utf-8") as file:
        file.write(text)
