"""Parses the commands of the cells, so that wrong flags are reported before anything is trained."""

import contextlib
import io
import logging
import os
from argparse import Namespace
from collections.abc import Callable, Iterator

from dsp_fairseq_startup.errors import BadCheckpoint

from ..errors import BadInput, refuse
from ..families import family_of
from .flags import Words, value_of
from .plan import PIPELINED, Cell

Parser = Callable[[list[str]], Namespace]


def parsed(cells: list[Cell], choice: Parser | None = None) -> dict[str, Namespace]:
    """The parsed command line of every cell that trains, by name, as fairseq-train will see it.

    ``choice`` parses the words of a dsp-fairseq command; without it those are not checked. Raises BadInput with every
    problem that the commands would report; a problem of several cells is one line.
    """
    from fairseq import options

    found: dict[str, Namespace] = {}
    problems: dict[str, list[str]] = {}  # names of the cells that have it

    def training(words: list[str]) -> Namespace:
        refuse(_another_evaluation(value_of(tuple(words), "--arch"), cells[0]))
        args = options.parse_args_and_arch(options.get_training_parser(), words)
        refuse(_another_evaluation(args.arch, cells[0]))  # again: parsing may have imported its family
        return args

    def evaluating(words: list[str]) -> Namespace:
        return options.parse_args_and_arch(cells[0].evaluation.parser(), words)

    for cell in cells:
        if cell.trains:
            with _noting(problems, "train", cell):
                found[cell.name] = _parse(training, _checkable(cell))
        elif choice:
            with _noting(problems, "after", cell):
                _parse(choice, cell.train)
    for cell in cells[:1]:  # the commands of the other cells differ in nothing but the path
        with _noting(problems, cell.evaluation.key, cell):
            _parse(evaluating, cell.evaluate)
    refuse(f"{line} ({_some(names)})" for line, names in problems.items())
    return found


def _another_evaluation(arch: str | None, cell: Cell) -> list[str]:
    """A line when fairseq has another command to evaluate this architecture than for the other models."""
    family, expected = family_of(Namespace(arch=arch)), cell.evaluation.command
    if family is None or family.evaluated_by == expected:
        return []
    told = f"{family.with_article} is not evaluated by {expected}, as the other models are"
    return [f"--arch {arch}: {told}; compare it with its like in another sweep"]


@contextlib.contextmanager
def _noting(problems: dict[str, list[str]], key: str, cell: Cell) -> Iterator[None]:
    try:
        yield
    except (BadInput, BadCheckpoint, ValueError) as problem:
        for line in str(problem).splitlines():
            problems.setdefault(f"{key}: {line}", []).append(cell.name)


def _checkable(cell: Cell) -> Words:
    """The training, without the checkpoints of other cells that do not exist yet."""
    words = cell.train
    if cell.start and (cell.before or not os.path.isfile(cell.start.checkpoint)):
        place = words.index("--finetune-from-model")
        words = tuple("joint" if word == PIPELINED else word for word in words[:place] + words[place + 2 :])
    if cell.teacher and not os.path.isfile(cell.teacher.checkpoint):
        place = words.index("--teacher")
        words = words[:place] + words[place + len(cell.teaching) :]
    return words


def _parse(read: Parser, words: Words) -> Namespace:
    said = io.StringIO()
    try:
        with _quiet(), contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            return read(list(words[1:]))
    except SystemExit:
        lines = said.getvalue().strip().splitlines() or [f"{words[0]} does not understand these flags"]
        raise BadInput(lines[-1].rpartition("error: ")[2]) from None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hides the message of fairseq that the plug-in is loaded already."""
    logger = logging.getLogger("fairseq")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def _some(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
