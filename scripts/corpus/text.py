"""Lines of UTF-8 text: read, written and counted so that both sides of a corpus keep their line numbers.

A line ends at a line feed and nowhere else. `str.splitlines` and text files with universal newlines also end lines at
carriage returns, U+0085 and U+2028, which web text holds: one side would get more lines than the other.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from .problem import Problem


def decoded(lines: Iterable[bytes], where: str) -> Iterator[str]:
    """Raw lines as text without their line ends; a line that is not UTF-8 is a Problem."""
    for number, line in enumerate(lines, 1):
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise Problem(
                f"{where}: line {number} is not UTF-8 text ({error.reason} at byte {error.start}): "
                "convert the file to UTF-8, or fetch it again"
            ) from error
        yield text.removesuffix("\n").removesuffix("\r")


def lines_of(path: Path) -> Iterator[str]:
    with open(path, "rb") as file:
        yield from decoded(file, str(path))


def write_lines(lines: Iterable[str], file: BinaryIO) -> int:
    """Write each line with a line feed, and return how many there were."""
    count = 0
    for line in lines:
        file.write(line.encode("utf-8") + b"\n")
        count += 1
    return count


def save_lines(lines: Iterable[str], path: Path) -> int:
    with open(path, "wb") as file:
        return write_lines(lines, file)


def pairs_of(source: Path, target: Path) -> Iterator[tuple[str, str]]:
    """Both sides line by line; a side that ends before the other is a Problem with both counts."""
    sides = lines_of(source), lines_of(target)
    for read, left in enumerate(sides[0]):
        right = next(sides[1], None)
        if right is None:
            refuse_unequal({str(source): read + 1 + sum(1 for _ in sides[0]), str(target): read})
        yield left, right
    rest = sum(1 for _ in sides[1])
    if rest:
        read = sum(1 for _ in lines_of(source))
        refuse_unequal({str(source): read, str(target): read + rest})


def refuse_unequal(counts: dict[str, int]) -> None:
    """Raise a Problem unless the line counts of both sides, given by name, are equal and not zero."""
    listed = ", ".join(f"{count} lines in {where}" for where, count in counts.items())
    if len(set(counts.values())) > 1:
        raise Problem(f"the two languages differ: {listed}: they must be translations line by line; fetch both again")
    if 0 in counts.values():
        raise Problem(f"no text: {listed}: fetch the archive again")
