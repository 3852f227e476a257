"""Checks the values of options against the types that dataclasses declare for them."""

import re
from collections.abc import Callable, Collection, Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any, NamedTuple, Union, get_args, get_origin

from dsp_fairseq_startup.errors import shown

from ..errors import flag

_LONGEST = 4096  # characters of a string
_LARGEST = 2**63 - 1


class _Kind(NamedTuple):
    """The values that one type of option accepts, in words and as a predicate."""

    words: str
    accepts: Callable[[Any], bool]


def is_whole(value: Any) -> bool:
    """Whether a value is a whole number that fits in 64 bits."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _LARGEST


def number(value: Any) -> Any:
    """The number that a text of at most 9 digits means; other values are returned unchanged."""
    return int(value) if isinstance(value, str) and re.fullmatch(r"\d{1,9}", value, re.ASCII) else value


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST


_KINDS = {
    int: _Kind("a whole number", is_whole),
    float: _Kind("a number", lambda value: isinstance(value, float) or is_whole(value)),
    bool: _Kind("True or False", lambda value: isinstance(value, bool) or (is_whole(value) and value in (0, 1))),
    str: _Kind(f"text of at most {_LONGEST} characters", _is_text),
}


def by_name(options: Any) -> dict[str, Any]:
    """The values of a Namespace or a DictConfig by name."""
    return dict(options) if isinstance(options, Mapping) else vars(options)


def value_problems(
    options: Mapping[str, Any],
    types: Mapping[str, Any],
    ranges: Mapping[str, tuple[float, float]] = MappingProxyType({}),
    numbers_as_text: Collection[str] = (),
) -> list[str]:
    """One line for each option in ``types`` whose value is not of its type or out of its range.

    Args:
        ranges: least and largest value, where they are limited.
        numbers_as_text: options whose number may be given as text.
    """
    problems = []
    for name in sorted(set(options) & set(types)):
        value = number(options[name]) if name in numbers_as_text else options[name]
        wanted = _wanted(value, types[name], ranges.get(name))
        if wanted:
            problems.append(f"{flag(name)} {shown(options[name])}: must be {wanted}")
    return problems


def _wanted(value: Any, kind: Any, range_: tuple[float, float] | None) -> str | None:
    """The values that a type and a range allow, in words; None when the value is one of them."""
    if get_origin(kind) is Union:  # Optional
        if value is None:
            return None
        kind = get_args(kind)[0]
    if isinstance(kind, type) and issubclass(kind, Enum):
        choices = [choice.value for choice in kind]
        return None if isinstance(value, str) and str(value) in choices else f"one of {', '.join(choices)}"
    if kind not in _KINDS:  # lists of numbers, of options that gated models refuse
        numbers = isinstance(value, (list, tuple)) and len(value) <= _LONGEST and all(map(is_whole, value))
        return None if not value or isinstance(value, str) or numbers else "a list of whole numbers"
    if not _KINDS[kind].accepts(value):
        return _KINDS[kind].words
    if range_ is None or range_[0] <= value <= range_[1]:
        return None
    return "{:,} to {:,}".format(*range_)
