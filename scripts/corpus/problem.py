"""Errors that a user can mend: one line on stderr that says what, where and what to do, and exit status 2."""

import errno
import os
import sys
from collections.abc import Callable

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


class Problem(Exception):
    """What is wrong and what the user can do, in one line."""


def as_problem(error: OSError) -> Problem:
    """What an error of the operating system means for the user."""
    where = f"{error.filename}: " if error.filename else ""
    if error.errno in DISK_FULL:
        return Problem(f"{where}disk full: make room, or choose another folder with --out, and run the same again")
    return Problem(f"{where}{error.strerror or error}: check that the file is there and that you may use it")


def run(main: Callable[[], None]) -> None:
    """Run a stage; a Problem or an error of the system ends it with one line and status 2.

    A pipe whose reader has closed it needs no line: the reader has said what was wrong.
    """
    try:
        main()
        sys.stdout.flush()
    except Problem as problem:
        stop(problem)
    except BrokenPipeError:
        os._exit(2)  # not sys.exit: that flushes stdout once more
    except OSError as error:
        stop(as_problem(error))


def stop(problem: Problem) -> None:
    if os.environ.get("DSP_DEBUG"):
        raise problem
    text = " ".join(str(problem).split())
    print(f"{os.environ.get('PREPARE_SCRIPT', 'prepare')}: {text}", file=sys.stderr)
    sys.exit(2)
