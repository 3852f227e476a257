"""Files and folders that a command must not write to, because it reads them or writes something else there."""

import os
from collections.abc import Iterable, Iterator


def collisions(outputs: dict[str, str | None], inputs: Iterable[str | None]) -> Iterator[str]:
    """One line for every output that is one of the inputs or an output before it; a link is what it leads to.

    Args:
        outputs: paths by what they are called, such as ``OUT`` or ``--json``; None: not asked for.
        inputs: paths; None: not given.
    """
    read = [path for path in inputs if path is not None]
    written: dict[str, str] = {}
    for name, out in outputs.items():
        if out is None:
            continue
        told = f"{name} {out}" if name.startswith("--") else out
        for path in read:
            if _would_replace(out, path):
                yield f"{told}: {_as(out, path)}is read as well; choose another name"
        for other, path in written.items():
            if _would_replace(out, path) or _would_replace(path, out):
                yield f"{told}: {_as(out, path)}is {other} as well; choose another name"
        written[name] = out


def _would_replace(out: str, path: str) -> bool:
    """Whether writing ``out``, a file or a folder, takes what is at ``path`` away."""
    if os.path.exists(out) and os.path.exists(path) and os.path.samefile(out, path):
        return True
    out, path = os.path.realpath(out), os.path.realpath(path)
    return path == out or path.startswith(out + os.sep)


def _as(out: str, path: str) -> str:
    """What the file has to do with the path, where they are not the same to the eye."""
    if out == path:
        return ""
    return f"holds {path}, which " if os.path.isdir(out) else f"is {path}, which "
