"""What commands say of their arguments without torch, which takes seconds to import."""

import os
from collections.abc import Callable, Iterable

from ..atomic import check_target
from ..errors import BadInput, refuse
from ..families.transformer import HELP

K_OF_EACH_KIND = HELP["K of each kind"]  # an example of --heads-to-keep


def refuse_if_missing(checkpoints: Iterable[str], others: Callable[[], list[str]] = list) -> None:
    """Raise BadInput when there is no checkpoint to look into, with the ``others`` of the command's problems."""
    paths = list(dict.fromkeys(checkpoints))
    if not any(map(os.path.isfile, paths)):
        refuse([*(f"checkpoint {path}: does not exist" for path in paths), *others()])


def target_problems(path: str, force: bool, option: str = "") -> list[str]:
    """Why a file could not, or must not, be written there, at most one line."""
    try:
        check_target(path, force)
    except BadInput as problem:
        return [f"{option} {problem}".lstrip()]
    return []
