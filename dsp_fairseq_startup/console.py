"""fairseq's commands end with one line per problem instead of a traceback; exit status 2: wrong use, 1: failure.

This holds for exceptions whose class has an `exit_code`, for the errors of fairseq that `explanations` knows, and for
full disks. Every other exception keeps its traceback. `DSP_DEBUG=1` in the environment brings back all of them.
"""

import contextlib
import functools
import os
import sys

from .errors import NotWritten, WrongUse, disk_error
from .explanations import explain
from .mending import mend
from .tracebacks import chain

COMMANDS = tuple(
    f"fairseq_cli.{name}"
    for name in ("eval_lm", "generate", "hydra_train", "interactive", "preprocess", "score", "train", "validate")
)
INTERRUPTED = 130  # the exit status that shells use for Ctrl-C: 128 + SIGINT


@mend(*COMMANDS)
def end_in_one_line(command_module):
    command = "fairseq-" + command_module.__name__.rpartition(".")[2].replace("_", "-")
    # hydra catches exceptions itself, so the function that it calls must be surrounded as well
    for name in ("cli_main", "_hydra_main"):
        if hasattr(command_module, name):
            setattr(command_module, name, with_one_line_errors(getattr(command_module, name), command))


@mend("fairseq.distributed.utils")
def end_spawned_processes_in_one_line(distributed_utils):
    distributed_utils.distributed_main = with_one_line_errors(distributed_utils.distributed_main)


def with_one_line_errors(function, command=None):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        try:
            result = function(*args, **kwargs)
            sys.stdout.flush()  # here, because an error of a full disk can still be reported here
            return result
        except (Exception, KeyboardInterrupt) as error:
            if isinstance(error, BrokenPipeError) and reader_has_gone():
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes its buffer at the end
                sys.exit(0)
            if not os.environ.get("DSP_DEBUG"):
                exit_if_for_the_user(error, command or os.path.basename(sys.argv[0]))
            raise

    return wrapper


def reader_has_gone():
    """Whether the pipe that broke is the standard output, closed by its reader as `head` does."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        return True
    return False


def exit_if_for_the_user(error, command):
    if isinstance(error, KeyboardInterrupt):
        print(f"{command}: interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    if type(error).__name__ == "ProcessExitedException":
        exit_as_the_process(error)
    for exception in (*chain(error), disk_error(error)):
        exit_code = getattr(type(exception), "exit_code", None)
        if isinstance(exit_code, int):
            exit_with(str(exception), exit_code, command)
    message = explain(error)
    if message is not None:
        exit_with(message, WrongUse.exit_code, command)


def exit_as_the_process(error):
    """Exit with the status of a spawned process that has printed its own error, or name the signal that killed it."""
    if error.signal_name:
        message = f"a process of this command was killed by {error.signal_name}, perhaps for want of memory"
        print(message, file=sys.stderr)
        sys.exit(1)
    if error.exit_code in (WrongUse.exit_code, NotWritten.exit_code):
        sys.exit(error.exit_code)


def exit_with(message, exit_code, command):
    with contextlib.suppress(OSError):  # the standard output may be a file on the full disk
        sys.stdout.flush()
    for line in message.splitlines() or [""]:
        print(f"{command}: error: {line}", file=sys.stderr)
    sys.exit(exit_code)
