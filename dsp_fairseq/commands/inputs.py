"""Checks and help texts of arguments that several commands share, without torch, which takes seconds to import."""

import os
from collections.abc import Callable, Iterable

from ..atomic import check_target
from ..errors import BadInput, refuse
from ..families.transformer import HELP

K_OF_EACH_KIND = HELP["K of each kind"]  # an example of --heads-to-keep
F_OF_EACH_KIND = HELP["F of each kind"]  # an example of --ffn-to-keep
E_OF_EACH_STACK = HELP["E of each stack"]  # an example of --layers-to-keep


def refuse_if_missing(checkpoints: Iterable[str], others: Callable[[], list[str]] = list) -> None:
    """Raise BadInput when none of the checkpoints is a file.

    ``others`` is called only then; it returns further problems of the command line, which the message lists too.
    """
    paths = list(dict.fromkeys(checkpoints))
    if not any(map(os.path.isfile, paths)):
        refuse([*(f"checkpoint {path}: does not exist" for path in paths), *others()])


def target_problems(path: str, force: bool, option: str = "") -> list[str]:
    """The reason why no file may be written at ``path``, as a list of at most one line that begins with ``option``."""
    try:
        check_target(path, force)
    except BadInput as problem:
        return [f"{option} {problem}".lstrip()]
    return []
