"""Checkpoints are written whole or not at all, even when a training is killed or a disk is full."""

import os

from ..errors import not_written
from ..mending import around


@around("fairseq.checkpoint_utils:_torch_persistent_save")
def write_once(_torch_persistent_save, obj, file):
    """Without this mend, a full disk gives three tracebacks.

    fairseq tries three times to write, and each try appends to the part of the file that the last try has written.
    """
    from fairseq import checkpoint_utils

    checkpoint_utils.torch.save(obj, file)


@around("fairseq.checkpoint_utils:torch_persistent_save")
def leave_no_part(torch_persistent_save, obj, filename, *args, **kwargs):
    """Without this mend, an unfinished `.tmp` file stays beside the checkpoints when a disk is full."""
    return write(filename, lambda: torch_persistent_save(obj, filename, *args, **kwargs))


@around("fairseq.file_io:PathManager.copy")
def copy_whole(copy, src_path, dst_path, overwrite=False):
    """Without this mend, `checkpoint_last.pt` can be half a file when a training is killed while it saves.

    fairseq writes the first of the checkpoints that it saves at one update to a temporary file and renames it, but it
    copies that file directly to the other names.
    """

    def copy_and_rename():
        if not os.path.isdir(os.path.dirname(dst_path) or "."):  # iopath has paths that are not local
            return copy(src_path, dst_path, overwrite=overwrite)
        beside = f"{dst_path}.tmp"
        copied = copy(src_path, beside, overwrite=True)
        with open(beside, "rb") as file:
            os.fsync(file.fileno())
        os.replace(beside, dst_path)
        return copied

    return write(dst_path, copy_and_rename)


def write(target, action):
    """The result of `action`, which writes the file `target`.

    If it fails, `TARGET.tmp` is removed, and an error of the operating system becomes `NotWritten`, which says in one
    line why `target` could not be written.
    """
    try:
        return action()
    except BaseException as error:
        if os.path.isfile(f"{target}.tmp"):
            os.remove(f"{target}.tmp")
        problem = not_written(f"checkpoint {target}", error)
        if problem is not None:
            raise problem from error
        raise
