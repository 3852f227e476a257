"""Reads the logs and the output of fairseq's commands."""

import json
import os
import re
from itertools import pairwise
from statistics import median
from typing import Any, NamedTuple

from ..errors import Failed
from .plan import Cell, Files, value_of

_TAIL = 64_000  # bytes; an epoch's line of fairseq has about 1000
_ERROR = re.compile(r"error|exception|killed|abort|no space", re.IGNORECASE)
_LOSS = re.compile(r"Loss \(base 2\): ([\d.]+|nan|inf)")
_BLEU = re.compile(r"^Generate .*?: BLEU4 = ([\d.]+)", re.MULTILINE)


class Progress(NamedTuple):
    """Progress of a training."""

    updates: int = 0
    share: float = 0.0  # finished part of the training; 0 when its length is not known
    heads: int | None = None  # heads that take part in the training at present


def progress(cell: Cell) -> Progress:
    """The progress at the end of the log of the training."""
    updates, epochs, heads = 0, 0.0, None
    for entry in entries(cell.train_log):
        updates = int(entry.get("num_updates") or entry.get("train_num_updates") or updates)
        epochs = float(entry.get("update") or epochs)
        heads = int(float(entry.get("heads_kept") or entry.get("train_heads_kept") or heads or 0)) or heads
    shares = [0.0]
    for flag, done in (("--max-update", updates), ("--max-epoch", epochs)):
        try:
            shares.append(done / float(value_of(cell.train, flag) or 0))
        except (ValueError, ZeroDivisionError):  # fairseq itself reports a wrong value; 0 means no limit
            continue
    return Progress(updates, min(1.0, max(shares)), heads)


def valid_nll(cell: Files) -> float | None:
    """Negative log-likelihood of a word in the last validation, base 2."""
    logged = entries(cell.train_log)
    for name in cell.evaluation.nll:
        found = [entry[name] for entry in logged if name in entry]
        if found:
            return float(found[-1])
    return None


class Training(NamedTuple):
    """Figures from the whole log of a training; None: the log does not have them."""

    updates: int | None  # until the last validation
    words_per_second: float | None  # median of the logged intervals
    minutes: float | None  # of all restarts


def training(cell: Files) -> Training:
    lines = entries(cell.train_log, whole=True)
    updates = [int(line["valid_num_updates"]) for line in lines if "valid_num_updates" in line]
    # the intervals of --log-interval leave out validation; a training shorter than one interval has only its epochs
    speeds = [line["wps"] for line in lines if "wps" in line] or [
        line["train_wps"] for line in lines if "train_wps" in line
    ]
    # not the checkpoint's time: after --finetune-from-model it includes the first training
    clock = [float(line["train_wall"]) for line in lines if "train_nll_loss" in line]  # starts at 0 in every process
    seconds = sum(now for now, later in pairwise([*clock, 0.0]) if later < now)
    return Training(
        updates[-1] if updates else None,
        median(map(float, speeds)) if speeds else None,
        seconds / 60 if clock else None,
    )


def entries(path: str, whole: bool = False) -> list[dict[str, Any]]:
    """The JSON objects at the end of a log, or all of them; a process that was killed may leave half a line."""
    found = []
    for line in (_text(path) if whole else _tail(path)).splitlines():
        try:
            entry = json.loads(line[line.index("{") :])
        except (ValueError, RecursionError):
            continue
        if isinstance(entry, dict):
            found.append(entry)
    return found


def last_error(*paths: str) -> str:
    """The last line with an error, or else the last line, of the first file that is not empty."""
    for path in paths:
        lines = [line.strip() for line in _tail(path).splitlines() if line.strip()]
        if lines:
            return ([line for line in lines if _ERROR.search(line)] or lines)[-1][:300]
    return "printed nothing"


def bleu4(cell: Files) -> float:
    """The score that fairseq-generate printed."""
    found = printed_bleu4(cell.printed)
    if found is None:
        raise Failed(
            f"{cell.name}: fairseq-generate printed no BLEU4; all that it printed: {cell.printed}; "
            "remove it to decode again"
        )
    return float(found)


def loss(cell: Files) -> float:
    """The loss that fairseq-eval-lm printed, base 2."""
    found = _LOSS.findall(_text(cell.printed))
    if not found:
        raise Failed(
            f"{cell.name}: fairseq-eval-lm printed no loss; all that it printed: {cell.printed}; remove it to evaluate "
            "again"
        )
    return float(found[-1])


def printed_bleu4(path: str) -> str | None:
    """The last score in the output of fairseq-generate, as text with its digits."""
    found = _BLEU.findall(_text(path))
    return found[-1] if found else None


def hypotheses(cell: Files) -> list[str]:
    """The best translation of every sentence in order, detokenised if the flags of fairseq-generate ask for it."""
    best: dict[int, str] = {}
    for line in _text(cell.printed).split("\n"):
        if re.match(r"D-\d+\t", line):
            number, _, text = line[2:].split("\t", 2)
            best.setdefault(int(number), text)  # the first of --nbest is the best
    return [best[number] for number in sorted(best)]


def _text(path: str) -> str:
    if not os.path.isfile(path):
        return ""
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def _tail(path: str) -> str:
    if not os.path.isfile(path):
        return ""
    with open(path, "rb") as file:
        file.seek(max(0, os.path.getsize(path) - _TAIL))
        return file.read().decode("utf-8", errors="replace")
