"""`checkpoint_best.pt` is overwritten by a worse one after a validation whose loss was NaN, and nothing is said

Where: `fairseq.checkpoint_utils.save_checkpoint` compares with NaN, which then is the best. When: always; NaN weights
come from half precision above all, where a training goes on for a while after it has diverged.
"""

import functools
import logging

logger = logging.getLogger(__name__)


def mend(checkpoint_utils):
    checkpoint_utils.save_checkpoint = without_nan(checkpoint_utils.save_checkpoint)


def without_nan(save_checkpoint):
    @functools.wraps(save_checkpoint)
    def wrapper(cfg, trainer, epoch_itr, val_loss):
        if val_loss is not None and val_loss != val_loss:
            logger.warning(
                "validation after %s updates: %s is NaN, the training has diverged; this checkpoint is not the best one",
                *(trainer.get_num_updates(), cfg.best_checkpoint_metric),
            )
            val_loss = None
        return save_checkpoint(cfg, trainer, epoch_itr, val_loss)

    return wrapper
