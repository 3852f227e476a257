"""Errors that are meant for the user: a line for each problem, and the exit status of the command."""

import contextlib
import errno
import io

from .tracebacks import chain, frames

MOST_SHOWN = 80  # characters of what a stranger's file says
REMEDIES = {
    errno.ENOSPC: "make room and run the same again",
    errno.EDQUOT: "make room and run the same again",
    errno.EFBIG: "raise the limit (ulimit -f) and run the same again",
    errno.EROFS: "choose another place",
    errno.EIO: "choose another place",
}


class WrongUse(ValueError):
    """What was given, what is allowed, what to do."""

    exit_code = 2


class BadCheckpoint(WrongUse):
    """A checkpoint that cannot or must not be read: which file, what is wrong with it, what to do."""


class CannotRead(OSError):
    """A checkpoint that this machine cannot read, though the file may be sound."""

    exit_code = 1


class NotWritten(RuntimeError):
    """A file that could not be written: which one, why, what to do."""

    exit_code = 1


def refuse(problems):
    """Raise WrongUse if there are any problems, with a line for each."""
    lines = list(problems)
    if lines:
        raise WrongUse("\n".join(lines))


def shown(value):
    """The content of a file in a few printable characters.

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
    """Turn the exception that fairseq raises for an unsuitable part of a checkpoint into a BadCheckpoint."""
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError, AssertionError) as error:
        if hasattr(type(error), "exit_code"):  # it is meant for the user as it is
            raise
        text = str(error).strip().partition("\n")[0]
        reason = text if text.isprintable() and len(text) < 300 else shown(text)
        raise BadCheckpoint(f"checkpoint {path}: {what} ({type(error).__name__}: {reason}); {remedy}") from error


def not_written(path, error):
    """NotWritten for the error of the operating system that kept `path` from being written, or None.

    torch's writer raises errors of its own while it handles that one.
    """
    cause = next((found for found in chain(error) if isinstance(found, OSError) and found.strerror), None)
    if cause is None:
        return None
    remedy = REMEDIES.get(cause.errno, "choose another place")
    return NotWritten(f"{path}: could not be written: {cause.strerror.lower()}; {remedy}")


def disk_error(error):
    """NotWritten for a full, read-only or broken disk, with the name of the file, or None."""
    for found in chain(error):
        if isinstance(found, OSError) and found.errno in REMEDIES:
            return not_written(found.filename2 or found.filename or _file_in(found) or "a file", found)
    return None


def _file_in(error):
    """File that was open for writing in the innermost frame that had one: the error of a `write` does not name it."""
    for frame in reversed(list(frames(error))):
        local = frame.f_locals
        for file in (*local.values(), *getattr(local.get("self"), "__dict__", {}).values()):
            if isinstance(file, io.IOBase) and set(str(getattr(file, "mode", ""))) & set("wax+"):
                return "standard output" if file.name == "<stdout>" else file.name
    return None
