"""Tables no wider than the screen, or than 100 characters where there is none."""

import shutil
import statistics
from collections.abc import Sequence

from tabulate import tabulate

WIDTH = 100


def table(
    header: Sequence[str], rows: Sequence[Sequence[str]], align: Sequence[str] | None = None, keys: int = 1
) -> str:
    """Columns that find no room stand in further tables below, which begin with the first ``keys`` columns again."""
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
    """However wide: for a file."""
    return tabulate(rows, header, tablefmt="github", disable_numparse=True, colalign=align)


def mean_and_range(values: Sequence[float], digits: int, seeds: bool = False) -> str:
    """Mean of the values and, of several, lowest and highest in brackets; with ``seeds`` their number too."""
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
