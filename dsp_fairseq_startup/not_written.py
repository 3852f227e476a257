"""The error for a file that could not be written: a full or read-only disk, a limit, a missing right."""

import errno
import io

REMEDIES = {
    errno.ENOSPC: "make room and run the same again",
    errno.EDQUOT: "make room and run the same again",
    errno.EFBIG: "raise the limit (ulimit -f) and run the same again",
    errno.EROFS: "choose another place",
    errno.EIO: "choose another place",
}


class NotWritten(RuntimeError):
    """One line: which file, why, what to do."""

    exit_code = 1


def not_written(path, error):
    """A `NotWritten` for the error of the system that made writing `path` fail, None if there was none.

    torch's writer raises errors of its own while it handles the one that matters.
    """
    cause = next((found for found in chain(error) if isinstance(found, OSError) and found.strerror), None)
    if cause is None:
        return None
    remedy = REMEDIES.get(cause.errno, "choose another place")
    return NotWritten(f"{path}: could not be written: {cause.strerror.lower()}; {remedy}")


def of_the_disk(error):
    """A `NotWritten` for any error of the disk, None if it is none of these; the file is looked for."""
    for found in chain(error):
        if isinstance(found, OSError) and found.errno in REMEDIES:
            return not_written(found.filename2 or found.filename or _file_in(found) or "a file", found)
    return None


def chain(error):
    """The exception and those it was raised for."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _file_in(error):
    """The error of a `write` does not name its file; the innermost frame that has one open for writing does."""
    frames, traceback = [], error.__traceback__
    while traceback is not None:
        frames.insert(0, traceback.tb_frame)
        traceback = traceback.tb_next
    for frame in frames:
        here = frame.f_locals
        for file in (*here.values(), *getattr(here.get("self"), "__dict__", {}).values()):
            if isinstance(file, io.IOBase) and set(str(getattr(file, "mode", ""))) & set("wax+"):
                return "standard output" if file.name == "<stdout>" else file.name
    return None
