"""A sweep on a borrowed GPU: it stops in time, and its finished cells take little room.

    python benchmarks/gpu_multi30k.py --data DIR --work DIR --out DIR [--config YAML] [--state FILE] [--jobs 3]
        [--until SECONDS] [--device cuda]

`gpu_multi30k.sh` calls it. The trainings are those of `dsp-fairseq sweep`. In --work a folder per cell holds the
checkpoint of a training until its translations are scored. --out gets multi30k.json with the results, and
multi30k-state.tar.gz with everything but the checkpoints.
Exit 3: the time was up before the last cell was done.
"""

import argparse
import os
import shlex
import sys
import tarfile
import time
from pathlib import Path

from measured import PROJECT, write

sys.path.insert(0, str(PROJECT))
from dsp_fairseq.errors import BadInput, Failed
from dsp_fairseq.sweep import job
from dsp_fairseq.sweep.records import read as read_record
from dsp_fairseq.sweep.results import Results

REFERENCE = Path("raw") / "test_2016_flickr.en"  # of prepare.sh
CELLS = "cells"
STATE = "multi30k-state.tar.gz"
FINISH = 40.0  # seconds for what follows the trainings


def set_up(data: Path, work: Path, state: "Path | None") -> None:
    """What the YAML file's relative paths mean, in the work folder; cells of an earlier call from ``state``."""
    for path in (data / "data-bin", data / REFERENCE):
        if not path.exists():
            raise BadInput(f"--data {data}: has no {path.relative_to(data)}; name the folder that prepare.sh made")
    work.mkdir(parents=True, exist_ok=True)
    link = work / "data-bin"
    link.unlink(missing_ok=True)
    link.symlink_to((data / "data-bin").resolve())
    text = (data / REFERENCE).read_text(encoding="utf-8").lower()  # as prepare.sh does before it tokenises
    (work / "reference.en").write_text(text, encoding="utf-8")
    if state is not None and not (work / CELLS).exists():
        with tarfile.open(state) as archive:
            archive.extractall(work, filter="data")


def tidy(cells: list) -> None:
    """The checkpoints of cells whose translations and heads are known."""
    for cell in cells:
        record = read_record(cell)
        if record.evaluated and record.kept is not None:
            for path in Path(cell.folder).glob("*.pt"):
                path.unlink()


def save_state(path: Path) -> None:
    """Everything in the cells' folders but checkpoints."""
    beside = path.with_name(f".{path.name}")
    with tarfile.open(beside, "w:gz") as archive:
        archive.add(CELLS, filter=lambda entry: None if entry.name.endswith((".pt", ".lock", ".partial")) else entry)
    beside.replace(path)


def as_json(found: Results) -> "list[dict]":
    return [
        {
            "method": row.cell.method,
            "heads": row.heads,
            "seed": row.cell.seed,
            "bleu": round(row.score, 2),
            "valid_nll": row.valid_nll,
            "kept": row.per_kind,
            "train_seconds": row.record.train_seconds,
        }
        for row in found.rows
    ]


def settings_of(todo: job.Plan, found: Results, device: str) -> dict:
    return {
        "device": device,
        "cells": len(todo.cells),
        "heads": found.rows[0].original_heads,
        "jobs": todo.jobs,
        "train": shlex.join(todo.config.train),
        "generate": shlex.join(todo.config.generate),
        "signature": found.signature,
    }


def run(given) -> int:
    out, config = given.out.resolve(), given.config.resolve()
    out.mkdir(parents=True, exist_ok=True)
    set_up(given.data.resolve(), given.work, given.state)
    os.chdir(given.work)
    todo = job.plan(str(config), None, given.jobs, with_pictures=False)
    limit = time.monotonic() + given.until - FINISH - time.time()
    found, failures, stopped = job.run(todo, with_pictures=False, until=limit)
    tidy(todo.cells)
    save_state(out / STATE)
    if found.rows:
        write(out / "multi30k.json", "multi30k", given.device, settings_of(todo, found, given.device), as_json(found))
    print(f"{len(found.rows)} of {len(todo.cells)} cells are done")
    if failures:
        raise Failed("\n".join(failures))
    return 3 if stopped else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for option in ("--data", "--work", "--out"):
        parser.add_argument(option, type=Path, required=True)
    parser.add_argument("--config", type=Path, default=PROJECT / "benchmarks" / "gpu_multi30k.yaml")
    parser.add_argument("--state", type=Path, help="multi30k-state.tar.gz of an earlier call, where --work is empty")
    parser.add_argument("--jobs", type=int, default=3)
    parser.add_argument("--until", type=float, default=time.time() + 540, help="stop by then (default: in 9 minutes)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    given = parser.parse_args()
    try:
        return run(given)
    except (BadInput, Failed) as error:
        print(*(f"gpu_multi30k: {line}" for line in str(error).splitlines()), sep="\n", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
