"""Handles Ctrl-C in `dsp-fairseq` before and after `cli.main`: one line and status 130 instead of a traceback."""

import os
import signal
import sys

STATUS = 130  # the exit status that shells use for Ctrl-C: 128 + SIGINT


def tell(command: str) -> int:
    print(f"{command}: interrupted, nothing written", file=sys.stderr)
    return STATUS


def end_in_one_line() -> None:
    """From now on, an uncaught Ctrl-C ends the process with one line and status 130."""
    before = sys.excepthook

    def hook(kind, error, traceback):
        if not issubclass(kind, KeyboardInterrupt):
            return before(kind, error, traceback)
        sys.stderr.flush()
        os._exit(tell("dsp-fairseq"))

    sys.excepthook = hook


def ignore() -> None:
    """From now on, ignore Ctrl-C: the command is done, and Python would print a traceback while it shuts down."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
