"""Writes files whole or not at all: to a temporary file in the same folder, which is then renamed."""

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from dsp_fairseq_startup.errors import WrongUse, not_written

from .errors import BadInput, Failed

_RANDOM = "[a-z0-9_]{8}"  # the random part in the name of a temporary file


@contextmanager
def writing(path: str, force: bool = False) -> Iterator[str]:
    """Context manager that yields the path of a temporary file, which replaces ``path`` at the end.

    When the body raises, the temporary file is removed and ``path`` stays as it was. With ``force`` an existing file
    is replaced.

    Raises:
        BadInput: before the body, when ``check_target`` refuses ``path``; after the body, when another process has
            made a file at ``path`` meanwhile and ``force`` is False.
        Failed: the operating system refuses to write, for example because the disk is full.
    """
    check_target(path, force)
    folder, name = os.path.split(os.path.abspath(path))
    suffix = os.path.splitext(name)[1]
    with errors_naming(path):
        remove_abandoned(os.path.abspath(path), suffix)
        handle, beside = _new_file(folder, f".{name}.", suffix)
        try:
            yield beside
            sync(beside)
            os.chmod(beside, 0o666 & ~_umask())
            _take_place(beside, path, force)
            sync(folder)
        except BaseException:
            if os.path.exists(beside):
                os.remove(beside)
            raise
        finally:
            os.close(handle)


def check_target(path: str, force: bool = False) -> None:
    """Raise BadInput when no file can be written at ``path``, or when one exists there and ``force`` is False."""
    if "\0" in path:
        raise BadInput(f"{path!r}: holds a NUL byte, which no file name may; name a file")
    if os.path.isdir(path):
        raise BadInput(f"{path}: is a folder; name a file")
    if os.path.exists(path) and not os.path.isfile(path):
        raise BadInput(f"{path}: is a device or a pipe, which no file can replace; name a file")
    if os.path.lexists(path) and not force:
        raise _exists(path)
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise BadInput(f"{path}: folder {folder} does not exist; make it first")
    if not os.access(folder, os.W_OK):
        raise BadInput(f"{path}: nothing may be written in {folder}; choose another folder")


def _exists(path: str) -> BadInput:
    return BadInput(f"{path}: exists; choose another name, or overwrite it with --force")


def _take_place(beside: str, path: str, force: bool) -> None:
    """Rename ``beside`` to ``path``; without ``force``, raise BadInput when ``path`` exists by now."""
    if force:
        return os.replace(beside, path)
    try:
        os.link(beside, path)
    except FileExistsError:
        raise _exists(path) from None
    except OSError:  # the file system has no hard links: another process could make `path` after this check
        check_target(path)
        return os.replace(beside, path)
    os.remove(beside)


@contextmanager
def errors_naming(path: str) -> Iterator[None]:
    """Context manager whose errors name ``path``, which the user knows, instead of the temporary file beside it."""
    folder, name = os.path.split(os.path.abspath(path))
    beside = re.compile(
        rf"{re.escape(os.path.join(folder, f'.{name}.'))}{_RANDOM}({re.escape(os.path.splitext(name)[1])})?"
    )
    try:
        yield
    except (BadInput, WrongUse, Failed) as error:
        if not beside.search(str(error)):
            raise
        raise type(error)(beside.sub(lambda _: path, str(error))) from error
    except (OSError, RuntimeError) as error:  # torch raises RuntimeError for errors of the operating system
        named = getattr(error, "filename", None)
        failure = not_written(path, error) if named is None or beside.match(str(named)) else None
        if failure is None:
            raise
        raise Failed(str(failure)) from error


def _new_file(folder: str, prefix: str, suffix: str) -> "tuple[int, str]":
    while True:
        handle, beside = tempfile.mkstemp(prefix=prefix, suffix=suffix, dir=folder)
        claim(handle)
        if os.path.exists(beside):  # before it was claimed, another process could remove it as abandoned
            return handle, beside
        os.close(handle)


def claim(handle: int) -> bool:
    """Lock an open file or folder until it is closed or this process ends; return whether that was possible."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # another process has the lock, or the file system has no locks
        return False
    return True


def remove_abandoned(path: str, suffix: str = "") -> None:
    """Remove the temporary files beside ``path`` that killed commands have left: nobody holds a lock on them."""
    folder, name = os.path.split(path)
    left = re.compile(rf"\.{re.escape(name)}\.{_RANDOM}{re.escape(suffix)}")
    for entry in os.scandir(folder):
        if left.fullmatch(entry.name) and not entry.is_symlink():
            with suppress(OSError):  # it belongs to another user, or is gone by now
                _remove_unclaimed(entry.path, entry.is_dir())


def _remove_unclaimed(path: str, is_folder: bool) -> None:
    handle = os.open(path, os.O_RDONLY if is_folder else os.O_RDWR)
    try:
        if claim(handle):
            shutil.rmtree(path) if is_folder else os.remove(path)
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def sync(path: str) -> None:
    """Flush a file, or the list of names in a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
