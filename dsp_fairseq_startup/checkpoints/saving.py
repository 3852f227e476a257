"""Checkpoints are written whole or not at all, whether a training is killed or a disk is full."""

import os

from ..errors import not_written
from ..mending import around


@around("fairseq.checkpoint_utils:_torch_persistent_save")
def write_once(_torch_persistent_save, obj, file):
    """A traceback, three times. fairseq tries three times, each time behind the remains of the last try in the file."""
    from fairseq import checkpoint_utils

    checkpoint_utils.torch.save(obj, file)


@around("fairseq.checkpoint_utils:torch_persistent_save")
def leave_no_part(torch_persistent_save, obj, filename, *args, **kwargs):
    """A `.tmp` beside the checkpoints when a disk is full."""
    return write(filename, lambda: torch_persistent_save(obj, filename, *args, **kwargs))


@around("fairseq.file_io:PathManager.copy")
def copy_whole(copy, src_path, dst_path, overwrite=False):
    """A `checkpoint_last.pt` that is half a file, when training is killed while it saves.

    fairseq writes the first checkpoint of a save beside its name and renames it, but copies it to the other names in
    place.
    """

    def copy_and_rename():
        if not os.path.isdir(os.path.dirname(dst_path) or "."):  # no local path, but one of iopath
            return copy(src_path, dst_path, overwrite=overwrite)
        beside = f"{dst_path}.tmp"
        copied = copy(src_path, beside, overwrite=True)
        with open(beside, "rb") as file:
            os.fsync(file.fileno())
        os.replace(beside, dst_path)
        return copied

    return write(dst_path, copy_and_rename)


def write(target, action):
    """Result of `action`; if it fails, remove `TARGET.tmp` and say in one line why the system did not write TARGET."""
    try:
        return action()
    except BaseException as error:
        if os.path.isfile(f"{target}.tmp"):
            os.remove(f"{target}.tmp")
        problem = not_written(f"checkpoint {target}", error)
        if problem is not None:
            raise problem from error
        raise
