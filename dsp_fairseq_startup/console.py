"""Errors of use in fairseq's commands: one line on stderr and exit status 2 instead of a traceback.

Two kinds: exceptions whose class has an `exit_code` (ours: the message is meant for the user), and what
fairseq raises for input that is not there (`wrong_use` finds the words). Everything else keeps its
traceback. `DSP_DEBUG=1` in the environment brings back every traceback.
"""

import functools
import os
import sys

from . import wrong_use

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
            return function(*args, **kwargs)
        except KeyboardInterrupt:
            if os.environ.get("DSP_DEBUG"):
                raise
            print(f"{command or os.path.basename(sys.argv[0])}: interrupted", file=sys.stderr)
            sys.exit(INTERRUPTED)
        except Exception as error:
            if os.environ.get("DSP_DEBUG"):
                raise
            exit_if_told(error)
            exit_if_meant_for_the_user(error, command or os.path.basename(sys.argv[0]))
            raise

    return wrapper


def exit_if_told(error):
    """A spawned process that exited, and did not crash, has already said why: end alike, say no more."""
    status = getattr(error, "exit_code", None)
    if type(error).__name__ == "ProcessExitedException" and status in (1, wrong_use.EXIT_CODE):
        sys.exit(status)


def exit_if_meant_for_the_user(error, command):
    for exception in _chain(error):
        exit_code = getattr(type(exception), "exit_code", None)
        if isinstance(exit_code, int):
            _exit(command, str(exception), exit_code)
    message = wrong_use.explain(error)
    if message is not None:
        _exit(command, message, wrong_use.EXIT_CODE)


def _chain(error):
    """The exception and those it was raised for: fairseq's trainer wraps what a model raises while loading."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _exit(command, message, exit_code):
    sys.stdout.flush()
    for line in message.splitlines() or [""]:
        print(f"{command}: error: {line}", file=sys.stderr)
    sys.exit(exit_code)
