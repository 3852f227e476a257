"""results.md: a row per method and K, over the seeds."""

import shlex
from collections.abc import Callable, Iterable

from ..tables import mean_and_range, table, whole_table
from .amounts import HEADS_TO_KEEP
from .config import Config
from .flags import Words
from .results import Results, Row

# after the heads, where models differ in more than heads
_OF_SIZE: dict[str, Callable[[Row], int | None]] = {
    "hidden units": lambda row: row.record.ffn,
    "layers": lambda row: row.record.layers,
    "parameters": lambda row: row.parameters,
}


def as_markdown(results: Results, config: Config, missing: list[str]) -> str:
    """Title, table, how it was measured, and the cells that are not in it."""
    against = "attention heads" if results.only_heads else "parameters"
    evaluation = results.evaluation
    title = f"{evaluation.score_name[0].upper()}{evaluation.score_name[1:]} and validation nll against {against}"
    text = [f"# {title}", "", whole_table(*_content(results)), ""]
    text += ["Means over the seeds, in brackets the lowest and the highest.", ""]
    text += [
        f"- {evaluation.score_name}: {results.signature}",
        "- valid nll: base 2, of the last validation",
        *(f"- {note}" for note in evaluation.notes),
        f"- data: `{config.data}`",
        f"- fairseq-train: `{shlex.join(config.train)}`",
        *(f"- fairseq-train, {name}: `{shlex.join(words)}`" for name, words in _more_flags(config).items()),
        f"- {evaluation.command}: `{shlex.join(config.of_evaluation)}`",
    ]
    if missing:
        text += ["", f"Not in it, because they failed: {', '.join(missing)}."]
    return "\n".join(text) + "\n"


def _more_flags(config: Config) -> dict[str, Words]:
    """The flags that only some of the trainings have."""
    pruned = {} if config.from_unpruned is None else {"from the unpruned model": config.from_unpruned}
    return {**config.method_flags, **config.dense, **pruned, **config.variants}


def as_table(results: Results) -> str:
    """For the screen."""
    return table(*_content(results), keys=2)


def _content(results: Results) -> tuple[list[str], list[list[str]], list[str]]:
    """The header, the rows, and how each column is aligned."""
    sizes = _sizes(results)
    header = ["method", "heads kept", *sizes, "seeds", results.evaluation.score_name, "valid nll"]
    return header, _rows(results), ["left", *["right"] * (len(header) - 1)]


def _sizes(results: Results) -> list[str]:
    """The columns of sizes, without that of layers where no model has lost any."""
    has_layers = any(row.record.layers is not None for row in results.rows)
    return [] if results.only_heads else [name for name in _OF_SIZE if name != "layers" or has_layers]


def _rows(results: Results) -> list[list[str]]:
    whole = "all heads" if results.only_heads else "unpruned"
    groups = [(whole, results.unpruned)] if results.unpruned else []
    groups += [(method, rows) for method in results.methods for rows in results.of(method).values()]
    return [_line(name, found, _sizes(results)) for name, found in groups]


def _line(name: str, rows: list[Row], sizes: list[str]) -> list[str]:
    return [
        name,
        _heads(rows),
        *(_range(map(_OF_SIZE[name], rows)) for name in sizes),
        str(len(rows)),
        _spread(rows, lambda row: row.score, 2),
        _spread(rows, lambda row: row.valid_nll, 3),
    ]


def _heads(rows: list[Row]) -> str:
    """How many heads are kept of how many; and what was asked for, where the number does not say it."""
    amount = rows[0].cell.amount
    asked = amount.in_words if amount and ("=" in amount.value or amount.option != HEADS_TO_KEEP) else ""
    return f"{_range([row.heads for row in rows])} of {rows[0].original_heads}" + (f" ({asked})" if asked else "")


def _range(values: Iterable[int | None]) -> str:
    known = sorted({value for value in values if value is not None})
    return " to ".join(f"{value:,}" for value in dict.fromkeys([*known[:1], *known[-1:]])) or "-"


def _spread(rows: list[Row], measure: Callable[[Row], float | None], digits: int) -> str:
    values = [value for value in map(measure, rows) if value is not None]
    return mean_and_range(values, digits) if values else "-"
