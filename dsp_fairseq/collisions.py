"""Finds outputs of a command that would overwrite one of its inputs or another of its outputs."""

import os
from collections.abc import Iterable, Iterator


def collisions(outputs: dict[str, str | None], inputs: Iterable[str | None]) -> Iterator[str]:
    """One line for every output that would replace an input or an earlier output. Symbolic links are followed.

    Args:
        outputs: path of each output by its name on the command line, such as ``OUT`` or ``--json``; None when the
            output is not asked for.
        inputs: paths of the inputs; None for an input that is not given.
    """
    read = [path for path in inputs if path is not None]
    written: dict[str, str] = {}
    for name, out in outputs.items():
        if out is None:
            continue
        subject = f"{name} {out}" if name.startswith("--") else out
        for path in read:
            if _would_replace(out, path):
                yield f"{subject}: {_as(out, path)}is read as well; choose another name"
        for other, path in written.items():
            if _would_replace(out, path) or _would_replace(path, out):
                yield f"{subject}: {_as(out, path)}is {other} as well; choose another name"
        written[name] = out


def _would_replace(out: str, path: str) -> bool:
    """Whether writing the file or folder ``out`` would replace the file at ``path``."""
    if os.path.exists(out) and os.path.exists(path) and os.path.samefile(out, path):
        return True
    out, path = os.path.realpath(out), os.path.realpath(path)
    return path == out or path.startswith(out + os.sep)


def _as(out: str, path: str) -> str:
    """The part of the message that explains why ``out`` and ``path`` collide, or "" when they are equal."""
    if out == path:
        return ""
    return f"holds {path}, which " if os.path.isdir(out) else f"is {path}, which "
