"""One sweep at a time in a folder."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import BadInput

PATIENCE = 3.0  # seconds in which the children of a sweep that was killed come to their end


@contextmanager
def locked(folder: str, shared: bool = False) -> Iterator[int]:
    """Yields the descriptor of the lock, for children: the folder stays locked until the last of them is gone.

    Several processes may hold a shared lock at a time. Raises BadInput when the folder is locked otherwise.
    """
    path = os.path.join(folder, ".lock")
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        _take(handle, fcntl.LOCK_SH if shared else fcntl.LOCK_EX, folder, time.monotonic() + PATIENCE)
        yield handle
    finally:
        os.close(handle)


def _take(handle: int, kind: int, folder: str, until: float) -> None:
    while True:
        try:
            return fcntl.flock(handle, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise BadInput(
                    f"another sweep is working in {folder}: wait for its end, or choose another folder with --out"
                ) from None
        time.sleep(0.1)
