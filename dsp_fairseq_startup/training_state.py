"""A traceback when a training cannot go on from the state in a checkpoint

Where: `fairseq.trainer.Trainer.load_checkpoint`, which takes optimiser, learning rate, meters and the place in the
data from the file as they are. When: always.
"""

import functools

from .bad_checkpoint import unfit_is_bad


def mend(trainer):
    trainer.Trainer.load_checkpoint = with_bad_checkpoint(trainer.Trainer.load_checkpoint)


def with_bad_checkpoint(load_checkpoint):
    @functools.wraps(load_checkpoint)
    def wrapper(self, filename, *args, **kwargs):
        remedy = f"start another one from its weights, with --finetune-from-model {filename}"
        with unfit_is_bad(filename, "its training cannot be gone on with", remedy):
            return load_checkpoint(self, filename, *args, **kwargs)

    return wrapper
