"""``dsp-fairseq COMMAND``: what the stock fairseq commands do not do."""

import argparse
import logging
import os
import sys

from dsp_fairseq_startup.errors import BadCheckpoint

from . import IS_COMMAND, __version__, interrupt, register
from .commands import average, bench, export, importance, prune, report, sweep, user_dir
from .errors import BadInput, Failed

COMMANDS = {
    "user-dir": user_dir,
    "prune": prune,
    "average": average,
    "importance": importance,
    "export": export,
    "report": report,
    "bench": bench,
    "sweep": sweep,
}


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit status: 0 success, 1 failure, 2 wrong use, 130 interrupted with Ctrl-C.

    ``argv`` holds the words after ``dsp-fairseq``; None means those of this process.
    """
    name, debug = "dsp-fairseq", bool(os.environ.get("DSP_DEBUG"))
    try:
        arguments = _parser().parse_args(argv)
        name, debug = f"dsp-fairseq {arguments.command}", debug or arguments.debug
        status = _run(arguments)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # the program that reads the output has ended, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes the rest when it ends
        return 0
    except (BadInput, BadCheckpoint, Failed, OSError) as error:
        if debug:
            raise
        for line in _message_of(error).splitlines():
            print(f"{name}: error: {line}", file=sys.stderr)
        return getattr(error, "exit_code", 1)
    except KeyboardInterrupt:
        if debug:
            raise
        return interrupt.tell(name)
    finally:
        if IS_COMMAND:
            interrupt.ignore()


def _run(arguments: argparse.Namespace) -> int:
    command = COMMANDS[arguments.command]
    if hasattr(command, "check"):
        command.check(arguments)
        # at Ctrl-C, fairseq would log the options that it was reading
        logging.getLogger("fairseq.dataclass.utils").setLevel(logging.CRITICAL)
        register()
    return command.run(arguments) or 0


def _message_of(error: Exception) -> str:
    """The message of an error; for an error of the operating system, the name of the file and the reason."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'writing'}: {error.strerror.lower()}"
    return str(error)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dsp-fairseq", description=__doc__.replace("``", ""))
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("--debug", action="store_true", help="show tracebacks, as with DSP_DEBUG=1")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=command.HELP, description=command.HELP)
        command.add_arguments(subparser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
