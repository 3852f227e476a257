"""Errors that are meant for the user: one line per problem, and the exit status of the command."""

import contextlib
import errno
import io

from .tracebacks import chain, frames

MOST_SHOWN = 80  # largest number of characters of an untrusted file that a message quotes
REMEDIES = {
    errno.ENOSPC: "make room and run the same again",
    errno.EDQUOT: "make room and run the same again",
    errno.EFBIG: "raise the limit (ulimit -f) and run the same again",
    errno.EROFS: "choose another place",
    errno.EIO: "choose another place",
}


class WrongUse(ValueError):
    """Wrong use of a command; the message says what was given, what is allowed and what to do."""

    exit_code = 2


class BadCheckpoint(WrongUse):
    """A checkpoint cannot or must not be read; the message names the file, what is wrong with it and what to do."""


class CannotRead(OSError):
    """This machine cannot read a checkpoint, although the file may be sound."""

    exit_code = 1


class NotWritten(RuntimeError):
    """A file could not be written; the message names the file, the reason and what to do."""

    exit_code = 1


def refuse(problems):
    """Raise WrongUse with one line per problem; do nothing when there are no problems."""
    lines = list(problems)
    if lines:
        raise WrongUse("\n".join(lines))


def shown(value):
    """A value from an untrusted file as at most 83 printable characters.

    >>> shown("4"), shown(4), shown("a" * 100)[-5:]
    ("'4'", '4', 'aa...')
    """
    try:
        text = ascii(value)
    except Exception:  # for example an int with more digits than Python prints
        text = f"({type(value).__name__})"
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}..."


@contextlib.contextmanager
def unfit_is_bad(path, what, remedy):
    """Turn the exception that fairseq raises for an unsuitable part of a checkpoint into a BadCheckpoint."""
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError, AssertionError) as error:
        if hasattr(type(error), "exit_code"):  # its message is for the user already
            raise
        text = str(error).strip().partition("\n")[0]
        reason = text if text.isprintable() and len(text) < 300 else shown(text)
        raise BadCheckpoint(f"checkpoint {path}: {what} ({type(error).__name__}: {reason}); {remedy}") from error


def not_written(path, error):
    """A NotWritten error that says why the operating system did not write `path`, or None if it is not the cause.

    The cause is searched in the whole chain of exceptions, because torch raises errors of its own from it.
    """
    cause = next((found for found in chain(error) if isinstance(found, OSError) and found.strerror), None)
    if cause is None:
        return None
    remedy = REMEDIES.get(cause.errno, "choose another place")
    return NotWritten(f"{path}: could not be written: {cause.strerror.lower()}; {remedy}")


def disk_error(error):
    """A NotWritten error that names the file, if the cause is a full, read-only or broken disk; otherwise None."""
    for found in chain(error):
        if isinstance(found, OSError) and found.errno in REMEDIES:
            return not_written(found.filename2 or found.filename or _file_in(found) or "a file", found)
    return None


def _file_in(error):
    """The file that was open for writing in the innermost frame that had one.

    The error of a failed `write` does not name its file.
    """
    for frame in reversed(list(frames(error))):
        local = frame.f_locals
        for file in (*local.values(), *getattr(local.get("self"), "__dict__", {}).values()):
            if isinstance(file, io.IOBase) and set(str(getattr(file, "mode", ""))) & set("wax+"):
                return "standard output" if file.name == "<stdout>" else file.name
    return None
