"""Files that appear whole or not at all."""

import os
import tempfile
from contextlib import contextmanager
from typing import Iterator

from .errors import BadInput


@contextmanager
def writing(path: str, force: bool = False) -> Iterator[str]:
    """A path beside ``path`` to write to; on success it takes its place, on any failure it is removed.

    Raises BadInput, before anything is written, when ``path`` exists and ``force`` is not set, is a
    folder, or when its folder does not exist.
    """
    check_target(path, force)
    folder, name = os.path.split(os.path.abspath(path))
    handle, beside = tempfile.mkstemp(prefix=f".{name}.", suffix=os.path.splitext(name)[1], dir=folder)
    os.close(handle)
    try:
        yield beside
        sync(beside)
        os.chmod(beside, 0o666 & ~_umask())
        os.replace(beside, path)
        sync(folder)
    except BaseException:
        if os.path.exists(beside):
            os.remove(beside)
        raise


def check_target(path: str, force: bool = False) -> None:
    """Raise BadInput when a file could not, or must not, be written there."""
    if os.path.isdir(path):
        raise BadInput(f"{path}: is a folder; name a file")
    if os.path.exists(path) and not force:
        raise BadInput(f"{path}: exists; choose another name, or overwrite it with --force")
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise BadInput(f"{path}: folder {folder} does not exist; make it first")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def sync(path: str) -> None:
    """To the disk: a file, or the names in a folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
