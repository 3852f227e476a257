"""Text tables that are no wider than the terminal, or than 100 characters when the output is not a terminal."""

import shutil
import statistics
from collections.abc import Sequence

from tabulate import tabulate

WIDTH = 100


def table(
    header: Sequence[str], rows: Sequence[Sequence[str]], align: Sequence[str] | None = None, keys: int = 1
) -> str:
    """A table that fits the terminal. Columns without room go to further tables below it.

    Args:
        header: names of the columns.
        rows: cells of each row.
        align: alignment of each column, as in tabulate's ``colalign``; None: all to the left.
        keys: number of first columns that each further table repeats.
    """
    screen, start = shutil.get_terminal_size((WIDTH, 24)).columns, keys
    parts: list[str] = []
    while start < len(header) or not parts:
        end = len(header)
        while end > start + 1 and _width(_drawn(header, rows, align, keys, start, end)) > screen:
            end -= 1
        parts.append(_drawn(header, rows, align, keys, start, end))
        start = end
    return "\n\n".join(parts)


def whole_table(header: Sequence[str], rows: Sequence[Sequence[str]], align: Sequence[str] | None = None) -> str:
    """One table of any width, for files."""
    return tabulate(rows, header, tablefmt="github", disable_numparse=True, colalign=align)


def mean_and_range(values: Sequence[float], digits: int, seeds: bool = False) -> str:
    """The mean of the values; for several values also the lowest and highest, and with ``seeds`` their number.

    >>> mean_and_range([1.0, 3.0], digits=1, seeds=True)
    '2.0 (1.0 to 3.0, 2 seeds)'
    """
    mean = f"{statistics.mean(values):.{digits}f}"
    if len(values) == 1:
        return mean
    number = f", {len(values)} seeds" if seeds else ""
    return f"{mean} ({min(values):.{digits}f} to {max(values):.{digits}f}{number})"


def _drawn(header, rows, align, keys: int, start: int, end: int) -> str:
    header, align, *rows = ([*line[:keys], *line[start:end]] for line in (header, align or (), *rows))
    return whole_table(header, rows, align or None)


def _width(drawn: str) -> int:
    return max(map(len, drawn.splitlines()))
