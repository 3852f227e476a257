"""Finds the files of a training in a folder."""

import os
from fnmatch import fnmatch
from typing import NamedTuple

from ..errors import BadInput

CHECKPOINTS = "checkpoint*.pt"  # as fairseq names them
_EVENTS = "*tfevents*"
# fairseq's folders below --tensorboard-logdir with scalars of the choice, the one with more values first
_TRAINING = ("train_inner", "train")


class Found(NamedTuple):
    """The files of a training in a folder; at least one of both is there."""

    checkpoints: list[str]  # paths
    events: str | None  # folder of the event files


def look(folder: str) -> Found:
    """Raises BadInput when there is nothing of a training, or something of several."""
    if not os.path.isdir(folder):
        what = "is a file; name the folder that it is in" if os.path.exists(folder) else "does not exist"
        raise BadInput(f"--history {folder}: {what}")
    names = sorted(os.listdir(folder))
    found = Found([os.path.join(folder, name) for name in names if fnmatch(name, CHECKPOINTS)], _event_folder(folder))
    if not found.checkpoints and found.events is None:
        raise BadInput(
            f"--history {folder}: holds neither checkpoints ({CHECKPOINTS}) nor event files of TensorBoard; name the "
            "--save-dir or the --tensorboard-logdir of a training"
        )
    return found


def _event_folder(folder: str) -> str | None:
    """The folder of the event files of the only training below ``folder``."""
    folders = sorted(at for at, _, names in os.walk(folder) if any(fnmatch(name, _EVENTS) for name in names))
    for kind in _TRAINING:
        folders = [at for at in folders if os.path.basename(os.path.abspath(at)) == kind] or folders
    if len(folders) > 1:
        raise BadInput(
            f"--history {folder}: has event files of {len(folders)} trainings ({', '.join(folders)}); name the folder "
            "of one"
        )
    return folders[0] if folders else None
