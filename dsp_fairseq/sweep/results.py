"""The figures of every finished cell."""

import re
from typing import NamedTuple

import pandas

from ..errors import Failed
from . import logs, records
from .amounts import HEADS_TO_KEEP, UNPRUNED
from .config import Config
from .evaluation import DECODING, Evaluation
from .plan import DISTILLED, Cell
from .records import Record


class Row(NamedTuple):
    """The figures of one cell: a line of results.csv."""

    cell: Cell
    record: Record
    score: float
    valid_nll: float | None

    @property
    def kept(self) -> dict[str, list[int]]:
        """Indices of the kept heads, by block."""
        return self.record.kept or {}

    @property
    def blocks(self) -> dict[str, int]:
        """Heads of each block before anything was pruned."""
        return self.record.heads or {}

    @property
    def parameters(self) -> int:
        """Of the whole model without what is pruned; 0: an earlier version made the record, which does not say it."""
        return self.record.parameters or 0

    @property
    def heads(self) -> int:
        return sum(len(kept) for kept in self.kept.values())

    @property
    def original_heads(self) -> int:
        return sum(self.blocks.values())

    @property
    def per_kind(self) -> dict[str, int]:
        return per_kind(self.kept)


def per_kind(kept: dict[str, list[int]]) -> dict[str, int]:
    """Numbers of kept heads by kind of block, from their indices by block."""
    counts: dict[str, int] = {}
    for block, heads in kept.items():
        kind = block.rpartition(".")[0]
        counts[kind] = counts.get(kind, 0) + len(heads)
    return counts


def is_tuned(method: str) -> bool:
    return re.search(r"-tuned\d*$", method) is not None


def untuned(method: str) -> str:
    """The method without what was done besides: training on after the removal, and a teacher."""
    return re.sub(r"-tuned\d*$", "", method).removesuffix(DISTILLED)


class Results(NamedTuple):
    """The rows of all finished cells, for the table and the pictures."""

    rows: list[Row]
    signature: str  # of the score
    evaluation: Evaluation = DECODING

    @property
    def unpruned(self) -> list[Row]:
        return [row for row in self.rows if row.cell.method == UNPRUNED]

    @property
    def methods(self) -> list[str]:
        return list(dict.fromkeys(row.cell.method for row in self.rows if row.cell.method != UNPRUNED))

    @property
    def only_heads(self) -> bool:
        """Whether the models differ in nothing but their heads."""
        return all(
            row.cell.method == UNPRUNED or (row.cell.amount and row.cell.amount.option == HEADS_TO_KEEP)
            for row in self.rows
        )

    def of(self, method: str) -> dict[str, list[Row]]:
        """The rows of a method by what they keep, from large models to small ones; one row for each seed."""
        rows = [row for row in self.rows if row.cell.method == method]
        rows.sort(key=lambda row: (-row.heads,) if self.only_heads else (-row.parameters, -row.heads))
        found: dict[str, list[Row]] = {}
        for row in rows:
            found.setdefault(row.cell.amount.label if row.cell.amount else "", []).append(row)
        return found


def _value(cell: Cell, option: str) -> str | None:
    return cell.amount.value if cell.amount and cell.amount.option == option else None


def collect(cells: list[Cell], config: Config) -> tuple[Results, list[str]]:
    """The results of the finished cells, and a line for each cell whose files lack them."""
    score = config.evaluation.score(config)
    rows, problems = [], []
    for cell in cells:
        record = records.read(cell)
        if not record.evaluated:
            continue
        try:
            rows.append(Row(cell, record, score.of(cell), logs.valid_nll(cell)))
        except Failed as problem:
            problems.append(str(problem))
    return Results(rows, score.signature, config.evaluation), problems


def as_csv(results: Results) -> str:
    """A line per cell, kept heads by kind."""
    options = [row.cell.amount.option for row in results.rows if row.cell.amount]
    kinds = list(dict.fromkeys(kind for row in results.rows for kind in row.per_kind))
    lines = [
        {
            "cell": row.cell.name,
            "method": row.cell.method,
            **{option: _value(row.cell, option) for option in dict.fromkeys([HEADS_TO_KEEP, *options])},
            "seed": row.cell.seed,
            "heads": row.heads,
            "ffn": row.record.ffn,
            "layers": row.record.layers,
            "parameters": row.record.parameters,
            "prunable": row.record.prunable,
            results.evaluation.column: f"{row.score:.2f}",
            "valid_nll": row.valid_nll,
            "train_seconds": row.record.train_seconds,
            f"{results.evaluation.key}_seconds": row.record.generate_seconds,
            "jobs": row.record.jobs,
            **{kind.replace(".", "_"): row.per_kind.get(kind, 0) for kind in kinds},
        }
        for row in results.rows
    ]
    # objects, because a column of whole numbers with a missing one would become floats
    return pandas.DataFrame(lines, dtype=object).to_csv(index=False, lineterminator="\n")
