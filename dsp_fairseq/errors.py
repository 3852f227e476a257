"""Errors that are told in one line."""

from collections.abc import Iterable

MOST = 2**31 - 1  # of any count that an option takes
MOST_SEED = 2**32 - 1  # numpy takes no larger one


class BadInput(ValueError):
    """Wrong use: one line per problem, each naming the option, the value seen and the remedy.

    The console commands print it without a traceback and exit with ``exit_code``.
    """

    exit_code = 2


class Failed(RuntimeError):
    """A command could not do what it was asked, through no fault of its input."""

    exit_code = 1


def flag(name: str) -> str:
    """The option of the command line for the attribute ``name``.

    >>> flag("heads_to_keep")
    '--heads-to-keep'
    """
    return "--" + name.replace("_", "-")


def refuse(problems: Iterable[str]) -> None:
    """Raise BadInput with all problems at once; return when there are none."""
    found: list[str] = list(problems)
    if found:
        raise BadInput("\n".join(found))
