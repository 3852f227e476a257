"""A traceback, three times, and a `.tmp` beside the checkpoints when a disk is full

Where: `fairseq.checkpoint_utils`. `_torch_persistent_save` tries three times, each try behind what the one before has
written: had the second succeeded, the file would begin with rubbish. `torch_persistent_save` leaves the file. When:
always.
"""

import functools
import os

from .not_written import not_written


def mend(checkpoint_utils):
    checkpoint_utils._torch_persistent_save = lambda obj, file: checkpoint_utils.torch.save(obj, file)
    save = checkpoint_utils.torch_persistent_save
    checkpoint_utils.torch_persistent_save = leaving_nothing(save, lambda obj, filename, *_, **__: filename)


def leaving_nothing(write, target_of):
    """`write` leaves no `TARGET.tmp`, and tells in one line why the system let it write no TARGET."""

    @functools.wraps(write)
    def wrapper(*args, **kwargs):
        target = target_of(*args, **kwargs)
        try:
            return write(*args, **kwargs)
        except BaseException as error:
            if os.path.isfile(f"{target}.tmp"):
                os.remove(f"{target}.tmp")
            told = not_written(f"checkpoint {target}", error)
            if told is not None:
                raise told from error
            raise

    return wrapper
