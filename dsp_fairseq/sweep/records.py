"""The record of the finished work of a cell: the file cell.json in its folder."""

import json
import os
from typing import Any, NamedTuple

from ..atomic import writing
from ..errors import BadInput
from .plan import Cell, Files


class Record(NamedTuple):
    """The content of cell.json without the flags; None: not yet known."""

    train_seconds: float | None = (
        None  # time of the finished training, restarts included; 0 for heads chosen without training
    )
    generate_seconds: float | None = None  # of the evaluation, whichever command it is
    jobs: int | None = None  # number of cells that ran at the same time
    kept: dict[str, list[int]] | None = None  # head indices by block
    heads: dict[str, int] | None = None  # of each block before anything was pruned
    ffn: int | None = None  # hidden units that are kept; None too: no choice was made among them
    parameters: int | None = None  # of the whole model without what is pruned
    prunable: int | None = None  # those of heads and hidden units among them, which --parameters-to-keep counts
    layers: int | None = None  # layers that are kept; None too: no choice was made among them

    @property
    def trained(self) -> bool:
        return self.train_seconds is not None

    @property
    def evaluated(self) -> bool:
        return self.generate_seconds is not None


def read(cell: Files) -> Record:
    """The record, without the parts whose files are gone."""
    stored = _stored(cell)
    record = Record(**{name: stored[name] for name in Record._fields if name in stored})
    if record.evaluated and not os.path.isfile(cell.printed):
        record = record._replace(generate_seconds=None)
    if record.trained and not record.evaluated and not os.path.isfile(cell.checkpoint):
        record = record._replace(train_seconds=None)
    return record


def write(cell: Cell, record: Record) -> None:
    content = {"flags": cell.flags, **record._asdict()}
    with writing(cell.file("cell.json"), force=True) as beside, open(beside, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=2)


def slurm_job_file(cell: Files) -> str:
    """Path of the file with the number of the cell's Slurm job; it is removed when a sweep sees the end of the job."""
    return cell.file("slurm-job")


def slurm_job(cell: Files) -> str | None:
    path = slurm_job_file(cell)
    if not os.path.isfile(path):
        return None
    with open(path, encoding="utf-8") as file:
        return file.read().strip()


def write_slurm_job(cell: Files, job_id: str) -> None:
    with writing(slurm_job_file(cell), force=True) as beside, open(beside, "w", encoding="utf-8") as file:
        file.write(f"{job_id}\n")


def slurm_problems(cells: list[Cell]) -> list[str]:
    """A line for each cell that must not run on this machine, because a Slurm job may be working in its folder."""
    return [
        f"{cell.folder}: job {slurm_job(cell)} of Slurm may be at work there; say --cluster slurm, or cancel the job "
        f"and remove {slurm_job_file(cell)}"
        for cell in cells
        if slurm_job(cell) is not None
    ]


def problems(cells: list[Cell]) -> list[str]:
    """A line for each folder that holds other files or a cell with other flags."""
    found = []
    for cell in cells:
        if not os.path.isdir(cell.folder):
            continue
        try:
            stored = _stored(cell)
        except BadInput as problem:
            found.append(str(problem))
            continue
        if stored:
            found += _differences(cell, stored.get("flags", {}))
        elif set(os.listdir(cell.folder)) - {".lock"}:
            found.append(f"{cell.folder}: holds something else than a cell of a sweep; {_REMEDY}")
    return found


_REMEDY = "remove this folder, or choose another one with --out"


def _differences(cell: Cell, made: dict[str, Any]) -> list[str]:
    """One line about the first difference between the flags of the folder and those of the cell."""
    if made == cell.flags:
        return []
    for key in {**cell.flags, **made}:
        now, then = cell.flags.get(key), made.get(key)
        if then != now:
            break
    if isinstance(now, list) and isinstance(then, list):
        then, now = (" ".join(w) for w in (_only(then, now), _only(now, then)))
    return [f"{cell.folder}: was made with other flags ({key}: {then or 'nothing'}, now {now or 'nothing'}); {_REMEDY}"]


def _only(words: list[str], others: list[str]) -> list[str]:
    """The words without the common beginning and end of both lists; a value keeps its flag."""
    start = next(
        (i for i, pair in enumerate(zip(words, others, strict=False)) if pair[0] != pair[1]),
        min(len(words), len(others)),
    )
    if start < len(words) and start > 0 and not words[start].startswith("--"):
        start -= 1
    rest, other = words[start:], others[start:]
    while rest and other and rest[-1] == other[-1]:
        rest, other = rest[:-1], other[:-1]
    return rest


def _stored(cell: Files) -> dict[str, Any]:
    path = cell.file("cell.json")
    if not os.path.isfile(path):
        return {}
    try:
        with open(path, encoding="utf-8") as file:
            stored = json.load(file)
        if not isinstance(stored, dict):
            raise ValueError
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path}: is damaged; {_REMEDY}") from error
    return stored
