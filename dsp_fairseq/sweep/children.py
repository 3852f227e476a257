"""Child processes that never outlive the sweep."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from typing import IO

from .config import Words

GRACE = 10.0  # seconds from SIGTERM to SIGKILL
# Runs first in the child, then becomes the command: the kernel is to kill it when the sweep dies (prctl's
# PR_SET_PDEATHSIG, 1). subprocess's preexec_fn would do this between fork and exec, where Python may hang when the
# parent has threads, and torch has.
_DIE_WITH_PARENT = f"""
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, {int(signal.SIGKILL)})
if os.getppid() == int(sys.argv[1]):
    os.execvp(sys.argv[2], sys.argv[2:])
"""


def executable(name: str) -> str:
    """A console command of this Python's environment, on PATH or not."""
    beside = os.path.join(os.path.dirname(sys.executable), name)
    return beside if os.path.isfile(beside) else shutil.which(name) or name


def threads() -> str:
    """Of a child: one, so that --jobs says how many cores are used, or what the environment says."""
    return os.environ.get("OMP_NUM_THREADS") or "1"


def start(words: Words, output: IO, errors: IO, lock: int) -> subprocess.Popen:
    """Runs in a session of its own, so that Ctrl-C reaches the sweep alone, which then stops it."""
    first = [sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT, str(os.getpid())]
    return subprocess.Popen(
        [*first, executable(words[0]), *words[1:]],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=errors,
        # LOGLEVEL: the sweep reads what fairseq says
        env={"PYTHONUTF8": "1", **os.environ, "OMP_NUM_THREADS": threads(), "LOGLEVEL": "INFO"},
        start_new_session=True,
        pass_fds=(lock,),
    )


def stop(children: Iterable[subprocess.Popen]) -> None:
    """End them and their own children, politely first."""
    alive: list[subprocess.Popen] = [child for child in children if child.poll() is None]
    for child in alive:
        _signal(child, signal.SIGTERM)
    until = time.monotonic() + GRACE
    for child in alive:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(max(0.0, until - time.monotonic()))
        _signal(child, signal.SIGKILL)  # also what the child itself has left behind
        child.wait()


def _signal(child: subprocess.Popen, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, number)
