"""Keeps the folder of a training for it alone, and leaves none behind when the training is refused.

A training that would save into the folder of a running training is refused, because their checkpoints would be mixed.

The process that saves (rank 0) holds a lock on the folder. It is a POSIX lock, because the system frees it however the
process ends, and the workers of the data loader, which can live seconds longer than a killed training, do not inherit
it.
"""

import contextlib
import errno
import fcntl
import glob
import os
from typing import IO

from ..errors import WrongUse
from ..mending import around, main_of

LOCK = ".training-lock"
HELD_BY_ANOTHER = (errno.EACCES, errno.EAGAIN)

# folder -> its open lock file; the same process may train into a folder again, as a hydra multirun does
_held: dict[str, IO[str]] = {}
_new: set[str] = set()  # folders that this process made


@around("fairseq.checkpoint_utils:verify_checkpoint_directory")
def remember_new_folder(verify, save_dir):
    is_new = not os.path.exists(save_dir)
    verify(save_dir)
    if is_new:
        _new.add(os.path.realpath(save_dir))


@around(*main_of("train"))
def leave_no_folder_behind(main, *args, **kwargs):
    """Remove the new, empty folder of a training that is refused only after its data have been counted."""
    try:
        return main(*args, **kwargs)
    except Exception as error:
        if getattr(type(error), "exit_code", None) == WrongUse.exit_code:
            while _new:
                remove_unused(_new.pop())
        raise


def remove_unused(folder):
    """Remove a folder that holds at most our lock, and give up the lock."""
    with contextlib.suppress(OSError):
        if set(os.listdir(folder)) <= {LOCK}:
            if folder in _held:
                os.remove(os.path.join(folder, LOCK))
                _held.pop(folder).close()
            os.rmdir(folder)


@around("fairseq.checkpoint_utils:load_checkpoint")
def lock_the_folder(load_checkpoint, cfg, trainer, **kwargs):
    """Lock the folder of the checkpoints. Every training calls this once, before its first update."""
    saves = not cfg.no_save and trainer.cfg.distributed_training.distributed_rank == 0
    if saves and os.path.isdir(cfg.save_dir):  # iopath has paths that are not local and cannot be locked
        lock(os.path.realpath(cfg.save_dir), cfg.save_dir)
    return load_checkpoint(cfg, trainer, **kwargs)


def lock(folder, name):
    """Lock the folder until this process ends, and remove the unfinished files of a killed training.

    Does nothing if the file system has no locks. Raises WrongUse if another process has locked the folder.
    """
    if folder in _held:
        return
    file = open(os.path.join(folder, LOCK), "a")  # noqa: SIM115 (the lock lasts as long as the process)
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        if error.errno in HELD_BY_ANOTHER:
            raise WrongUse(
                f"--save-dir {name}: another training saves there; wait for its end, or choose another --save-dir"
            ) from error
        return
    _held[folder] = file
    for unfinished in glob.glob(os.path.join(glob.escape(folder), "checkpoint*.pt.tmp")):
        os.remove(unfinished)
