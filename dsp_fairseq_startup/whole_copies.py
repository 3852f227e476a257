"""A `checkpoint_last.pt` that is half a file, when training is killed while it saves

Where: `fairseq.file_io.PathManager.copy`. fairseq writes the first checkpoint of a save beside its name and renames
it, but copies it to the other names (`checkpoint_last.pt` among them) in place. When: always.
"""

import functools
import os

from .saving import leaving_nothing


def mend(file_io):
    copy = whole_or_not_at_all(file_io.PathManager.copy)
    file_io.PathManager.copy = staticmethod(leaving_nothing(copy, lambda src_path, dst_path, **_: dst_path))


def whole_or_not_at_all(copy):
    @functools.wraps(copy)
    def wrapper(src_path, dst_path, overwrite=False):
        if not os.path.isdir(os.path.dirname(dst_path) or "."):  # no local path: iopath's business
            return copy(src_path, dst_path, overwrite=overwrite)
        beside = f"{dst_path}.tmp"
        copied = copy(src_path, beside, overwrite=True)
        with open(beside, "rb") as file:
            os.fsync(file.fileno())
        os.replace(beside, dst_path)
        return copied

    return wrapper
