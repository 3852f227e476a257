"""Two trainings that save into one folder, and mix their checkpoints there: the second one is refused.

The process that saves (rank 0) holds a lock. It is a POSIX lock: the workers of its data loader, which may outlive by
seconds a training that was killed, do not inherit it, and the system frees it however the process ends.
"""

import errno
import fcntl
import glob
import os
from typing import IO

from ..errors import WrongUse
from ..mending import around

LOCK = ".training-lock"
HELD_BY_ANOTHER = (errno.EACCES, errno.EAGAIN)

# folder -> its open lock file; one process may train into it again, as a hydra multirun does
_held: dict[str, IO[str]] = {}


@around("fairseq.checkpoint_utils:load_checkpoint")
def lock_the_folder(load_checkpoint, cfg, trainer, **kwargs):
    """Every training calls it once, before its first update."""
    saves = not cfg.no_save and trainer.cfg.distributed_training.distributed_rank == 0
    if saves and os.path.isdir(cfg.save_dir):  # otherwise it is no local path, but one of iopath
        lock(os.path.realpath(cfg.save_dir), cfg.save_dir)
    return load_checkpoint(cfg, trainer, **kwargs)


def lock(folder, name):
    """Lock the folder until this process ends, and remove what a killed training has left; without locks: nothing."""
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
