"""What the values of the keys of a sweep's file have in common: what they are about, and how they are refused."""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

from pydantic import ValidationInfo

from ..families import Family
from .evaluation import Evaluation
from .flags import Words, names


class Subject(NamedTuple):
    """What all models of a sweep have in common; the validators have it as their context."""

    family: Family
    evaluation: Evaluation


def subject_of(info: ValidationInfo) -> Subject:
    return cast(Subject, info.context)


NOTHING = object()  # stands for a missing value


class Wrong(ValueError):
    """All problems of one key, each a tuple: further parts of the key if it has any, value, reason with remedy."""

    def __init__(self, *problems: tuple[Any, ...]):
        super().__init__()
        self.problems = problems


def refuse_values(problems: Sequence[tuple[Any, ...]]) -> None:
    if problems:
        raise Wrong(*problems)


def yes_or_no(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Wrong((value, "must be true or false"))
    return value


def forbidden_words(words: Words, forbidden: dict[str, str]) -> list[tuple[Any, str]]:
    return [(name, forbidden[name]) for name in names(words) if name in forbidden]
