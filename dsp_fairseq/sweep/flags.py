"""Flags as the file of a sweep gives them: one string, or a list of words."""

import os
import shlex
from collections.abc import Iterator, Sequence
from typing import Any

Words = tuple[str, ...]


def read_flags(value: Any) -> tuple[Words, list[tuple[Any, str]]]:
    """Flags given as one string, which is split as a shell splits it, or as a list of words; and their problems."""
    if value is None:
        return (), []
    if isinstance(value, str):
        if not is_name(value):
            return (), [wrong_character(value)]
        try:
            return tuple(shlex.split(value)), []
        except ValueError as error:
            return (), [(value, f"{str(error).lower()}; close the quotation")]
    if not isinstance(value, list):
        return (), [(value, "must be flags, as one string or as a list of words")]
    return tuple(map(str, value)), [problem for word in value for problem in _word_problems(word)]


def _word_problems(word: Any) -> Iterator[tuple[Any, str]]:
    if isinstance(word, bool) or not isinstance(word, str | int | float):
        yield word, "must be a word or a number; put it between quotation marks"
    elif isinstance(word, str) and not is_name(word):
        yield wrong_character(word)
    elif isinstance(word, str) and word.startswith("--") and " " in word:
        yield word, "is one word of the list; write a comma instead of the space"


def names(words: Sequence[str]) -> list[str]:
    """The flags among the words, without the values that --flag=value may carry."""
    return [word.partition("=")[0] for word in words if word.startswith("--")]


def is_name(value: str) -> bool:
    """Whether the operating system allows this text as a file name or an argument."""
    try:
        return b"\0" not in os.fsencode(value)
    except UnicodeEncodeError:
        return False


def wrong_character(value: str) -> tuple[str, str]:
    return ascii(value), "holds a character that no name may have; write it anew"


def value_of(words: Words, name: str) -> str | None:
    """The last value of a flag, None when it is not given."""
    found = None
    for word, after in zip(words, [*words[1:], ""], strict=False):
        if word == name:
            found = after
        elif word.startswith(f"{name}="):
            found = word.partition("=")[2]
    return found


def given(words: Words, name: str) -> list[str]:
    """A flag with its last value, if it has one."""
    value = value_of(words, name)
    return [name] if not value or value.startswith("--") else [name, value]


def as_shell(words: Words) -> str:
    return shlex.join(words)
