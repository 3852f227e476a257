"""One sweep at a time in a folder."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import BadInput

PATIENCE = 3.0  # seconds: children of a sweep that was killed need a moment to go


@contextmanager
def locked(folder: str) -> Iterator[int]:
    """Yields the descriptor of the lock, for children: the folder stays locked until the last of them is gone.

    Raises BadInput when another sweep has it.
    """
    path = os.path.join(folder, ".lock")
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        _take(handle, folder, time.monotonic() + PATIENCE)
        yield handle
    finally:
        os.close(handle)


def _take(handle: int, folder: str, until: float) -> None:
    while True:
        try:
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise BadInput(
                    f"another sweep is working in {folder}: wait for its end, or choose another folder with --out"
                ) from None
        time.sleep(0.1)
