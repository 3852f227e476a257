"""Every checkpoint that fairseq reads is loaded by `safe_load`; a file that cannot be read is a `BadCheckpoint`."""

import functools
import os
import re
import tarfile
from collections.abc import Callable

from ..errors import BadCheckpoint, CannotRead, unfit_is_bad
from ..mending import View, around, mend
from . import integrity, safe_load

ANOTHER_FILE = "give a checkpoint that fairseq-train wrote"

# checks that a plug-in adds for its own models: functions of a path and a state that raise `BadCheckpoint`
CHECKS: list[Callable[[str, dict], None]] = []


@mend("fairseq.checkpoint_utils")
def load_safely(checkpoint_utils):
    checkpoint_utils.torch = View(checkpoint_utils.torch, load=load_checkpoint)


@mend("fairseq.distributed.utils")
def broadcast_safely(distributed_utils):
    """Without this mend, a training in several processes cannot be resumed (torch >= 2.6).

    `broadcast_object` sends the checkpoint that rank 0 has read to the other ranks, which unpack it with `torch.load`.
    Each tensor is sent separately and replaced by an object of the class `_TensorPlaceholder`, which must be allowed.
    """
    load = functools.partial(safe_load.load, also_allowed=[distributed_utils._TensorPlaceholder])
    distributed_utils.torch = View(distributed_utils.torch, load=load)


@around("fairseq.checkpoint_utils:load_checkpoint_to_cpu")
def load_options_too(load_checkpoint_to_cpu, path, *args, **kwargs):
    """After loading, fairseq builds a configuration from the options in the file, which can be anything."""
    with unfit_is_bad(path, "has something else in it than fairseq-train writes", ANOTHER_FILE):
        try:
            return load_checkpoint_to_cpu(path, *args, **kwargs)
        except PermissionError as error:  # fairseq opens the file itself
            raise _explained(path, error) from error


@mend("fairseq.file_utils")
def extract_archives_safely(file_utils):
    """Without this mend, `from_pretrained("model.tar.gz")` can write files outside the folder of the archive.

    `load_archive_file` of the hub interface extracts with `tarfile`, which allows that before Python 3.14.
    """
    file_utils.tarfile = DataTarFile


class DataTarFile(tarfile.TarFile):
    """An archive that extracts regular files and folders only, and only into the given folder."""

    def extractall(self, path=".", members=None, **options):
        if not hasattr(tarfile, "data_filter"):
            raise BadCheckpoint(f"{self.name}: extracting it safely needs Python 3.11.4 or later; extract it by hand")
        try:
            super().extractall(path, members, **{**options, "filter": "data"})
        except tarfile.FilterError as error:
            raise BadCheckpoint(f"{self.name}: refused, because it would write outside its folder: {error}") from error


def load_checkpoint(file, map_location=None, mmap=False):
    """The state in a checkpoint, given as an open file or a path.

    With `mmap` tensors are read from the file when they are used, unless they are compressed.

    Raises BadCheckpoint when the file is damaged, is no checkpoint of fairseq or fails one of `CHECKS`, and CannotRead
    when this machine cannot read it.
    """
    path = os.fspath(getattr(file, "name", file))
    try:
        whole = integrity.check_file(path)
        state = safe_load.load(file, map_location=map_location, mmap=mmap and whole)
        integrity.check_tensors(state, path)
    except Exception as error:  # a damaged file makes torch raise nearly anything
        raise _explained(path, error) from error
    missing = _missing_part(state)
    if missing:
        raise BadCheckpoint(f"checkpoint {path}: has no {missing} in it; {ANOTHER_FILE}")
    for check in CHECKS:
        check(path, state)
    return state


def _missing_part(state):
    if not isinstance(state, dict) or "model" not in state:
        return "model"
    if "optimizer_history" not in state and "best_loss" not in state:  # checkpoints before 2018 have best_loss
        return "optimizer_history"
    return None


def _explained(path, error):
    """The error for the user: what is wrong with the file, or why this machine cannot read it."""
    if isinstance(error, OSError) and (error.strerror or isinstance(error, CannotRead)):
        return CannotRead(f"checkpoint {path}: {error.strerror or error}")
    size = os.path.getsize(path)
    claim = re.search(r"allocate (\d+) bytes", str(error))
    if claim and int(claim[1]) > size and not integrity.is_zip(path):  # `check_file` compares the sizes in an archive
        error = integrity.Damaged(f"a tensor in it claims {int(claim[1]):,} bytes, the whole file has {size:,}")
    elif isinstance(error, MemoryError) or re.search(r"allocate memory|not enough memory|out of memory", str(error)):
        return CannotRead(
            f"checkpoint {path}: not enough memory to read it ({size:,} bytes); end other programs, or "
            "use a machine with more"
        )
    return BadCheckpoint(f"checkpoint {path}: {_what_is_wrong(error)}")


def _what_is_wrong(error):
    foreign = re.search(r"GLOBAL ([\w.]+)", str(error))
    if foreign:
        return (
            f"refused, because it asks to load {foreign.group(1)}, which is no part of a fairseq checkpoint"
            f" and could run any code (nothing was run); {ANOTHER_FILE}"
        )
    if isinstance(error, integrity.Damaged):
        return f"damaged: {error}; copy it again, or {ANOTHER_FILE}"
    return f"damaged, or not a checkpoint at all; copy it again, or {ANOTHER_FILE}"
