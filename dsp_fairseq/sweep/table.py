"""results.md: a row per method and K, over the seeds."""

import shlex
from collections.abc import Callable

from ..tables import mean_and_range, table, whole_table
from .config import Config
from .results import Results, Row

_HEADER = ["method", "heads kept", "seeds", "BLEU", "valid nll"]
_ALIGN = ["left", *["right"] * (len(_HEADER) - 1)]


def as_markdown(results: Results, config: Config, missing: list[str]) -> str:
    """Title, table, how it was measured, and the cells that are not in it."""
    text = ["# BLEU and validation nll against attention heads", "", whole_table(_HEADER, _rows(results), _ALIGN), ""]
    text += ["Means over the seeds, in brackets the lowest and the highest.", ""]
    text += [
        f"- BLEU: {results.signature}",
        "- valid nll: base 2, of the last validation",
        "- speed: `dsp-fairseq bench` times checkpoints in turns, which cells of a sweep are not",
        f"- data: `{config.data}`",
        f"- fairseq-train: `{shlex.join(config.train)}`",
        *(f"- fairseq-train, {method}: `{shlex.join(words)}`" for method, words in config.method_flags.items()),
        f"- fairseq-generate: `{shlex.join(config.generate)}`",
    ]
    if missing:
        text += ["", f"Not in it, because they failed: {', '.join(missing)}."]
    return "\n".join(text) + "\n"


def as_table(results: Results) -> str:
    """For the screen."""
    return table(_HEADER, _rows(results), _ALIGN, keys=2)


def _rows(results: Results) -> list[list[str]]:
    groups = [("all heads", results.unpruned)] if results.unpruned else []
    groups += [(method, rows) for method in results.methods for rows in results.of(method).values()]
    return [_line(name, found) for name, found in groups]


def _line(name: str, rows: list[Row]) -> list[str]:
    kept = sorted({row.heads for row in rows})
    asked = rows[0].cell.heads_to_keep
    return [
        name,
        f"{kept[0]} of {rows[0].original_heads}" + (f" ({asked})" if asked and "=" in asked else ""),
        str(len(rows)),
        _spread(rows, lambda row: row.bleu, 2),
        _spread(rows, lambda row: row.valid_nll, 3),
    ]


def _spread(rows: list[Row], measure: Callable[[Row], float | None], digits: int) -> str:
    values = [value for value in map(measure, rows) if value is not None]
    return mean_and_range(values, digits) if values else "-"
