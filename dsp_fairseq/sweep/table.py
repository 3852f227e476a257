"""results.md: a row per method and K, over the seeds."""

import shlex
import statistics
from typing import Callable, List, Optional

from tabulate import tabulate

from .config import Config
from .results import Results, Row

_HEADER = ["method", "heads kept", "seeds", "BLEU", "valid nll", "sentences/s"]


def as_markdown(results: Results, config: Config, missing: List[str]) -> str:
    """Title, table, how it was measured, and the cells that are not in it."""
    text = ["# BLEU, validation nll and decoding speed against attention heads", "", as_table(results), ""]
    text += ["Means over the seeds, in brackets the lowest and the highest.", ""]
    jobs = sorted({row.record.jobs for row in results.rows})
    beside = "one cell at a time" if jobs == [1] else f"up to {jobs[-1]} cells at a time, which slow each other down"
    text += [
        f"- BLEU: {results.signature}",
        "- valid nll: base 2, of the last validation",
        f"- sentences/s: as fairseq-generate says, {beside}",
        f"- data: `{config.data}`",
        f"- fairseq-train: `{shlex.join(config.train)}`",
        *(f"- fairseq-train, {method}: `{shlex.join(words)}`" for method, words in config.method_flags.items()),
        f"- fairseq-generate: `{shlex.join(config.generate)}`",
    ]
    if missing:
        text += ["", f"Not in it, because they failed: {', '.join(missing)}."]
    return "\n".join(text) + "\n"


def as_table(results: Results) -> str:
    groups = [("all heads", results.unpruned)] if results.unpruned else []
    groups += [(method, rows) for method in results.methods for rows in results.of(method).values()]
    rows = [_line(name, found) for name, found in groups]
    return tabulate(
        rows, _HEADER, tablefmt="github", disable_numparse=True, colalign=("left", *["right"] * (len(_HEADER) - 1))
    )


def _line(name: str, rows: List[Row]) -> List[str]:
    kept = sorted({row.heads for row in rows})
    asked = rows[0].cell.heads_to_keep
    return [
        name,
        f"{kept[0]} of {rows[0].original_heads}" + (f" ({asked})" if asked and "=" in asked else ""),
        str(len(rows)),
        _spread(rows, lambda row: row.bleu, 2),
        _spread(rows, lambda row: row.valid_nll, 3),
        _spread(rows, lambda row: row.speed.sentences_per_second, 1),
    ]


def _spread(rows: List[Row], measure: Callable[[Row], Optional[float]], digits: int) -> str:
    values = [measure(row) for row in rows if measure(row) is not None]
    if not values:
        return "-"
    mean = f"{statistics.mean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.{digits}f} to {max(values):.{digits}f})"
