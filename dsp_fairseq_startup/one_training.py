"""Two trainings that save into one folder: checkpoints of both in turn, without a word

Where: `fairseq.checkpoint_utils.load_checkpoint`, which every training calls once before its first update. When:
always.

The lock is of the process that saves (rank 0). It is a POSIX lock: workers of the data loader, which may outlive a
training that was killed by seconds, do not inherit it, and the system frees it whatever ends the process.
"""

import errno
import fcntl
import functools
import glob
import os

from .bad_checkpoint import WrongUse

LOCK = ".training-lock"
HELD_BY_ANOTHER = (errno.EACCES, errno.EAGAIN)

_held = {}  # folder -> its open lock file; one process may train into it again, as a hydra multirun does


def mend(checkpoint_utils):
    checkpoint_utils.load_checkpoint = alone_in_its_folder(checkpoint_utils.load_checkpoint)


def alone_in_its_folder(load_checkpoint):
    @functools.wraps(load_checkpoint)
    def wrapper(cfg, trainer, **kwargs):
        # no local folder: iopath's business
        if not cfg.no_save and is_first(trainer) and os.path.isdir(cfg.save_dir):
            lock(os.path.realpath(cfg.save_dir), cfg.save_dir)
        return load_checkpoint(cfg, trainer, **kwargs)

    return wrapper


def is_first(trainer):
    return trainer.cfg.distributed_training.distributed_rank == 0


def lock(folder, name):
    """Until this process ends; then remove what a killed training has left. Where the system has no locks: nothing."""
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
