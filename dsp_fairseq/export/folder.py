"""Folders that appear whole or not at all."""

import os
import secrets
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from ..atomic import claim, errors_naming, remove_abandoned, sync
from ..errors import BadInput


@contextmanager
def writing_folder(path: str, force: bool = False) -> Iterator[str]:
    """A new folder beside ``path`` to write to; on success it takes its place, on any failure it is removed.

    With ``force``, what was at ``path`` is there until then, and comes back when it cannot be replaced. Ask
    :func:`folder_problems` first. Raises BadInput when another process was first there, Failed when the system does
    not let it be written.
    """
    path = os.path.realpath(path)
    beside, replaced = _beside(path), _beside(path)
    with errors_naming(path):
        remove_abandoned(path)
        try:
            os.mkdir(beside)
            with _claimed(beside):
                yield beside
                _sync(beside)
                if force and os.path.exists(path):
                    os.rename(path, replaced)
                _take_place(beside, path)
            sync(os.path.dirname(path))
        finally:
            if os.path.exists(replaced) and not os.path.exists(path):
                os.rename(replaced, path)
            for folder in (beside, replaced):
                shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _claimed(folder: str) -> Iterator[None]:
    handle = os.open(folder, os.O_RDONLY)
    try:
        claim(handle)
        yield
    finally:
        os.close(handle)


def _take_place(beside: str, path: str) -> None:
    try:
        os.rename(beside, path)
    except OSError as error:
        if os.path.lexists(path):
            raise BadInput(f"{path}: exists; choose another name, or replace it with --force") from error
        raise


def folder_problems(path: str, force: bool, replaceable: Collection[str]) -> list[str]:
    """Why a folder could not, or must not, be written there, one line each.

    With ``force`` a folder may be replaced, but only one in which there is nothing but ``replaceable`` files.
    """
    target = os.path.realpath(path)
    parent = os.path.dirname(target)
    if not os.path.isdir(parent):
        return [f"{path}: folder {parent} does not exist; make it first"]
    if not os.access(parent, os.W_OK):
        return [f"{path}: nothing may be written in {parent}; choose another folder"]
    if not os.path.exists(target):
        return []
    if not os.path.isdir(target):
        return [f"{path}: is a file; name a folder"]
    if not force:
        return [f"{path}: exists; choose another name, or replace it with --force"]
    others = sorted(set(os.listdir(target)) - set(replaceable))
    if others:
        return [
            f"{path}: holds {others[0]}, which no export wrote; choose another name (--force replaces exports only)"
        ]
    return []


def _beside(path: str) -> str:
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}.{secrets.token_hex(4)}")


def _sync(folder: str) -> None:
    """To the disk: every file of the folder, then their names."""
    for name in os.listdir(folder):
        sync(os.path.join(folder, name))
    sync(folder)
