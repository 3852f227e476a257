"""Errors of use in fairseq's commands: one line on stderr and exit status 2 (a full disk: 1) instead of a traceback.

Two kinds: exceptions whose class has an `exit_code` (ours: the message is meant for the user), and what
fairseq raises for input that is not there (`wrong_use` finds the words) or a full disk. Everything else keeps its
traceback. `DSP_DEBUG=1` in the environment brings back every traceback.
"""

import contextlib
import functools
import os
import sys

from . import not_written, wrong_use
from .not_written import NotWritten

INTERRUPTED = 130  # as shells have it for Ctrl-C


def mend(command_module):
    command = "fairseq-" + command_module.__name__.rpartition(".")[2].replace("_", "-")
    # hydra catches exceptions itself, so the hydra command needs its inner function wrapped as well
    for name in ("cli_main", "_hydra_main"):
        if hasattr(command_module, name):
            setattr(command_module, name, with_one_line_errors(getattr(command_module, name), command))


def with_one_line_errors(function, command=None):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        try:
            result = function(*args, **kwargs)
            sys.stdout.flush()  # here a full disk can still be told
            return result
        except KeyboardInterrupt:
            if os.environ.get("DSP_DEBUG"):
                raise
            print(f"{command or os.path.basename(sys.argv[0])}: interrupted", file=sys.stderr)
            sys.exit(INTERRUPTED)
        except Exception as error:
            if isinstance(error, BrokenPipeError) and nobody_reads():
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left has nowhere to go
                sys.exit(0)
            if os.environ.get("DSP_DEBUG"):
                raise
            exit_if_told(error)
            exit_if_meant_for_the_user(error, command or os.path.basename(sys.argv[0]))
            raise

    return wrapper


def nobody_reads():
    """Whether it is the standard output whose reader has seen enough, as `head` does; other pipes break too."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        return True
    return False


def exit_if_told(error):
    """A spawned process that ended with a status of its own has said why: end alike. One that was killed has not."""
    if type(error).__name__ != "ProcessExitedException":
        return
    if error.signal_name:
        told = f"a process of this command was killed by {error.signal_name}, perhaps for want of memory"
        print(told, file=sys.stderr)
        sys.exit(1)
    if error.exit_code in (wrong_use.EXIT_CODE, NotWritten.exit_code):
        sys.exit(error.exit_code)


def exit_if_meant_for_the_user(error, command):
    for exception in [*not_written.chain(error), not_written.of_the_disk(error)]:
        exit_code = getattr(type(exception), "exit_code", None)
        if isinstance(exit_code, int):
            _exit(command, str(exception), exit_code)
    message = wrong_use.explain(error)
    if message is not None:
        _exit(command, message, wrong_use.EXIT_CODE)


def _exit(command, message, exit_code):
    with contextlib.suppress(OSError):  # it may be what the disk has no room for
        sys.stdout.flush()
    for line in message.splitlines() or [""]:
        print(f"{command}: error: {line}", file=sys.stderr)
    sys.exit(exit_code)
