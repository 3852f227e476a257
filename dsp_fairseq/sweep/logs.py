"""Reading what fairseq's commands wrote."""

import json
import os
import re
from typing import Any, NamedTuple

from ..errors import Failed
from .plan import Cell, value_of

_TAIL = 64_000  # bytes; an epoch's line of fairseq has about 1000
_ERROR = re.compile(r"error|exception|killed|abort|no space", re.IGNORECASE)
_BLEU = re.compile(r"^Generate .*?: BLEU4 = ([\d.]+)", re.MULTILINE)


class Progress(NamedTuple):
    """How far a training is."""

    updates: int = 0
    share: float = 0.0  # of the whole training; 0 when its length is not known
    heads: int | None = None  # open now


def progress(cell: Cell) -> Progress:
    """The last that the log of the training says."""
    updates, epochs, heads = 0, 0.0, None
    for entry in entries(cell.train_log):
        updates = int(entry.get("num_updates") or entry.get("train_num_updates") or updates)
        epochs = float(entry.get("update") or epochs)
        heads = int(float(entry.get("heads_kept") or entry.get("train_heads_kept") or heads or 0)) or heads
    shares = [0.0]
    for flag, done in (("--max-update", updates), ("--max-epoch", epochs)):
        try:
            shares.append(done / float(value_of(cell.train, flag) or 0))
        except (ValueError, ZeroDivisionError):  # fairseq says what is wrong with it; 0 is no limit
            continue
    return Progress(updates, min(1.0, max(shares)), heads)


def valid_nll(cell: Cell) -> float | None:
    """Of the last validation, base 2."""
    found = [entry["valid_nll_loss"] for entry in entries(cell.train_log) if "valid_nll_loss" in entry]
    return float(found[-1]) if found else None


def entries(path: str) -> list[dict[str, Any]]:
    """The last JSON objects of a log; a process that was killed may leave half a line."""
    found = []
    for line in _tail(path).splitlines():
        try:
            entry = json.loads(line[line.index("{") :])
        except (ValueError, RecursionError):
            continue
        if isinstance(entry, dict):
            found.append(entry)
    return found


def last_error(*paths: str) -> str:
    """The last line that speaks of an error, or else the last line, of the first file that has any."""
    for path in paths:
        lines = [line.strip() for line in _tail(path).splitlines() if line.strip()]
        if lines:
            return ([line for line in lines if _ERROR.search(line)] or lines)[-1][:300]
    return "printed nothing"


def bleu4(cell: Cell) -> float:
    """The score that fairseq-generate printed."""
    found = printed_bleu4(cell.translations)
    if found is None:
        raise Failed(
            f"{cell.name}: fairseq-generate printed no BLEU4; all that it printed: {cell.translations}; "
            "remove it to decode again"
        )
    return float(found)


def printed_bleu4(path: str) -> str | None:
    """The last score in what fairseq-generate printed, as it is written there."""
    found = _BLEU.findall(_text(path))
    return found[-1] if found else None


def hypotheses(cell: Cell) -> list[str]:
    """The best translation of every sentence, detokenised as far as the flags of fairseq-generate say, in order."""
    best: dict[int, str] = {}
    for line in _text(cell.translations).split("\n"):
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
