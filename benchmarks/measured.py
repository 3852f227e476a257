"""What the benchmarks share: a clock for CPU and GPU, and results as JSON together with what they ran on."""

import json
import os
import statistics
import subprocess
import sys
import time
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

PROJECT = Path(__file__).resolve().parents[1]


def add_arguments(parser) -> None:
    """The options that all have."""
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="default: %(default)s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there too")


def check_device(device: str) -> None:
    """Exit 2 in one line when there is no such device."""
    if device == "cuda" and not torch.cuda.is_available():
        print("--device cuda: torch sees no GPU here; say --device cpu, or run it where there is one", file=sys.stderr)
        sys.exit(2)


def now(device: str) -> float:
    """Seconds: processor time on a CPU, which others at work do not count in; on a GPU real time, all work done."""
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def spread(values: "list[float]") -> dict:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def machine(device: str) -> dict:
    """Device, versions, day and commit."""
    if str(PROJECT) not in sys.path:
        sys.path.insert(0, str(PROJECT))
    from dsp_fairseq.bench.machine import describe

    packages = {name: _version(name) for name in ("fairseq", "numpy")}
    gpu = {"driver": _driver(), "cuda": torch.version.cuda} if device == "cuda" else {}
    return {**describe(device), **gpu, **packages, "day": date.today().isoformat(), "commit": _commit()}


def write(path: Path, name: str, device: str, settings: dict, results) -> None:
    """One JSON file, whole or not at all; an old one is replaced."""
    content = {"name": name, "machine": machine(device), "settings": settings, "results": results}
    from dsp_fairseq.atomic import writing

    path.parent.mkdir(parents=True, exist_ok=True)
    with writing(str(path), force=True) as beside:
        Path(beside).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _version(package: str) -> "str | None":
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _driver() -> "str | None":
    return _said("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")


def _commit() -> "str | None":
    """A copy of the checkout without its history is told by the environment variable DSP_COMMIT."""
    return os.environ.get("DSP_COMMIT") or _said("git", "-C", str(PROJECT), "describe", "--always", "--dirty")


def _said(*command: str) -> "str | None":
    """First line that a command prints, if it can be run."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip().splitlines()[0] if done.returncode == 0 and done.stdout.strip() else None
