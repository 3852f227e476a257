"""Errors that commands report in one line per problem, without a traceback."""

from collections.abc import Iterable

MOST = 2**31 - 1  # largest value of an option that counts something
MOST_SEED = 2**32 - 1  # largest seed that numpy takes


class BadInput(ValueError):
    """Wrong use of a command.

    The message has one line per problem, which names the option, the given value and the remedy. Commands print the
    message without a traceback and exit with ``exit_code``.
    """

    exit_code = 2


class Failed(RuntimeError):
    """A command failed although its input is right, for example because the disk is full."""

    exit_code = 1


def flag(name: str) -> str:
    """The option of the command line whose value is in the attribute ``name``.

    >>> flag("heads_to_keep")
    '--heads-to-keep'
    """
    return "--" + name.replace("_", "-")


def refuse(problems: Iterable[str]) -> None:
    """Raise BadInput with one line per problem; do nothing when there are no problems."""
    found: list[str] = list(problems)
    if found:
        raise BadInput("\n".join(found))
