"""Every checkpoint that fairseq reads goes through `safe_load`; a file it cannot read is a `BadCheckpoint`.

Where: `fairseq.checkpoint_utils`. When: torch >= 2.6 (see `safe_load`); see `integrity` for what torch does not check.
"""

import functools
import os
import re

from . import integrity, safe_load
from .bad_checkpoint import BadCheckpoint, CannotRead, unfit_is_bad

ANOTHER_FILE = "give a checkpoint that fairseq-train wrote"

# what a plug-in knows of its own models: functions of a path and a state, which raise `BadCheckpoint`
CHECKS = []


def mend(checkpoint_utils):
    checkpoint_utils.torch = safe_load.TorchWithLoad(checkpoint_utils.torch, load_checkpoint)
    checkpoint_utils.load_checkpoint_to_cpu = with_bad_checkpoint(checkpoint_utils.load_checkpoint_to_cpu)


def with_bad_checkpoint(load_checkpoint_to_cpu):
    """It goes on to make a configuration of what was read, which may be none."""

    @functools.wraps(load_checkpoint_to_cpu)
    def wrapper(path, *args, **kwargs):
        with unfit_is_bad(path, "has something else in it than fairseq-train writes", ANOTHER_FILE):
            try:
                return load_checkpoint_to_cpu(path, *args, **kwargs)
            except PermissionError as error:  # fairseq opens the file itself
                raise _told(path, error) from error

    return wrapper


def load_checkpoint(file, map_location=None, mmap=False):
    """Read a checkpoint, an open file or a path; raise `BadCheckpoint` if it is damaged, foreign, or not fairseq's.

    With `mmap` tensors are read from the file when they are used, if they are in it as they are.
    """
    path = os.fspath(getattr(file, "name", file))
    try:
        whole = integrity.check_file(path)
        state = safe_load.load(file, map_location=map_location, mmap=mmap and whole)
        integrity.check_tensors(state, path)
    except Exception as error:  # a damaged file makes torch raise nearly anything
        raise _told(path, error) from error
    missing = _missing_part(state)
    if missing:
        raise BadCheckpoint(f"checkpoint {path}: has no {missing} in it; {ANOTHER_FILE}")
    for check in CHECKS:
        check(path, state)
    return state


def _missing_part(state):
    if not isinstance(state, dict) or "model" not in state:
        return "model"
    if "optimizer_history" not in state and "best_loss" not in state:  # the second: before 2018
        return "optimizer_history"
    return None


def _told(path, error):
    """The error for the user: what is wrong with the file, or what else kept it from being read."""
    if isinstance(error, OSError) and (error.strerror or isinstance(error, CannotRead)):
        return CannotRead(f"checkpoint {path}: {error.strerror or error}")
    size = os.path.getsize(path)
    asked = re.search(r"allocate (\d+) bytes", str(error))
    if asked and int(asked[1]) > size and not integrity.is_zip(path):  # of an archive, the sizes have been looked at
        error = integrity.Damaged(f"a tensor in it claims {int(asked[1]):,} bytes, the whole file has {size:,}")
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
