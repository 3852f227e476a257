"""Errors of use: the message is one line for the user, the command ends with exit status 2."""

import contextlib

MOST_SHOWN = 80  # characters of what a stranger's file says


class WrongUse(ValueError):
    """One line: what was given, what is allowed, what to do."""

    exit_code = 2


class BadCheckpoint(WrongUse):
    """A checkpoint file that cannot or must not be read: which file, what is wrong with it, what to do; a line each."""


class CannotRead(OSError):
    """The file may be sound: this machine cannot read it."""

    exit_code = 1


def shown(value):
    """What a file holds, in a few printable characters.

    >>> shown("4"), shown(4), shown("a" * 100)[-5:]
    ("'4'", '4', 'aa...')
    """
    try:
        text = ascii(value)
    except Exception:  # an int of more digits than Python prints, a list within itself
        text = f"({type(value).__name__})"
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}..."


@contextlib.contextmanager
def unfit_is_bad(path, what, remedy):
    """What fairseq raises for a part of a checkpoint that is not of its kind is a `BadCheckpoint`."""
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError, AssertionError) as error:
        if hasattr(type(error), "exit_code"):  # told in its own words
            raise
        text = str(error).strip().partition("\n")[0]
        reason = text if text.isprintable() and len(text) < 300 else shown(text)
        raise BadCheckpoint(f"checkpoint {path}: {what} ({type(error).__name__}: {reason}); {remedy}") from error
