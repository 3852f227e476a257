"""Folders that appear whole or not at all."""

import os
import secrets
import shutil
from contextlib import contextmanager
from typing import Collection, Iterator, List

from ..atomic import sync


@contextmanager
def writing_folder(path: str) -> Iterator[str]:
    """A new folder beside ``path`` to write to; on success it takes its place, on any failure it is removed.

    What was at ``path`` is there until then, and comes back when it cannot be replaced. Ask
    :func:`folder_problems` first.
    """
    path = os.path.realpath(path)
    beside, replaced = _beside(path), _beside(path)
    try:
        os.mkdir(beside)
        yield beside
        _sync(beside)
        if os.path.exists(path):
            os.rename(path, replaced)
        os.rename(beside, path)
        sync(os.path.dirname(path))
    finally:
        if os.path.exists(replaced) and not os.path.exists(path):
            os.rename(replaced, path)
        for folder in (beside, replaced):
            shutil.rmtree(folder, ignore_errors=True)


def folder_problems(path: str, force: bool, replaceable: Collection[str]) -> List[str]:
    """Why a folder could not, or must not, be written there, one line each.

    With ``force`` a folder may be replaced, but only one in which there is nothing but ``replaceable`` files.
    """
    target = os.path.realpath(path)
    parent = os.path.dirname(target)
    if not os.path.isdir(parent):
        return [f"{path}: folder {parent} does not exist; make it first"]
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
