"""What fairseq-train would refuse about the cells, told before anything is trained."""

import contextlib
import io
import logging
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator

from dsp_fairseq_startup.errors import BadCheckpoint

from ..errors import BadInput, refuse
from .config import Words
from .plan import Cell


def parsed(cells: list[Cell]) -> dict[str, Namespace]:
    """The parsed command line of every cell, by name, as fairseq-train will see it.

    Raises BadInput with everything that it would refuse; what several cells share is told once.
    """
    from fairseq import options

    found: dict[str, Namespace] = {}
    problems: dict[str, list[str]] = {}  # names of the cells that have it
    for cell in cells:
        with _noting(problems, "train", cell):
            found[cell.name] = _parse(options.get_training_parser, cell.train)
    for cell in cells[:1]:  # those of the others differ in nothing but the path
        with _noting(problems, "generate", cell):
            _parse(options.get_generation_parser, cell.generate)
    refuse(f"{line} ({_some(names)})" for line, names in problems.items())
    return found


@contextlib.contextmanager
def _noting(problems: dict[str, list[str]], key: str, cell: Cell) -> Iterator[None]:
    try:
        yield
    except (BadInput, BadCheckpoint, ValueError) as problem:
        for line in str(problem).splitlines():
            problems.setdefault(f"{key}: {line}", []).append(cell.name)


def _parse(parser: Callable[[], ArgumentParser], words: Words) -> Namespace:
    from fairseq import options

    said = io.StringIO()
    try:
        with _quiet(), contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            return options.parse_args_and_arch(parser(), list(words[1:]))
    except SystemExit:
        lines = said.getvalue().strip().splitlines() or [f"{words[0]} does not understand these flags"]
        raise BadInput(lines[-1].rpartition("error: ")[2]) from None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """fairseq tells that the plug-in is there already."""
    logger = logging.getLogger("fairseq")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def _some(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
