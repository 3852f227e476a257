"""Ctrl-C while `dsp-fairseq` is not yet, or no longer, in `cli.main`: one line and status 130, no traceback."""

import os
import signal
import sys

STATUS = 130  # as a shell has it for Ctrl-C


def tell(command: str) -> int:
    print(f"{command}: interrupted, nothing written", file=sys.stderr)
    return STATUS


def end_in_one_line() -> None:
    """From now on, for what nobody catches."""
    before = sys.excepthook

    def hook(kind, error, traceback):
        if not issubclass(kind, KeyboardInterrupt):
            return before(kind, error, traceback)
        sys.stderr.flush()
        os._exit(tell("dsp-fairseq"))

    sys.excepthook = hook


def ignore() -> None:
    """All is said: what Python does until it has ended cannot be interrupted well."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
