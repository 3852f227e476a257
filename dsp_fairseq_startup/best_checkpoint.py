"""`checkpoint_best.pt` that is not the best: after a validation whose loss was NaN, or in a process's second training

Where: `fairseq.checkpoint_utils.save_checkpoint` compares with NaN, which then is the best. NaN weights come from half
precision above all, where a training goes on for a while after it has diverged. It and `should_stop_early` of
`fairseq_cli.train` (`--patience`) remember the best of the process, an earlier training's too, as in a hydra multirun.
When: always.
"""

import functools
import logging

logger = logging.getLogger(__name__)


def mend(module):
    if hasattr(module, "should_stop_early"):
        module.main = beginning_anew(module.main, module.should_stop_early)
    else:
        module.save_checkpoint = without_nan(module.save_checkpoint)
        module.load_checkpoint = beginning_anew(module.load_checkpoint, module.save_checkpoint)


def without_nan(save_checkpoint):
    @functools.wraps(save_checkpoint)
    def wrapper(cfg, trainer, epoch_itr, val_loss):
        if val_loss is not None and val_loss != val_loss:
            logger.warning(
                "validation after %s updates: %s is NaN, the training has diverged; this checkpoint is not the best",
                *(trainer.get_num_updates(), cfg.best_checkpoint_metric),
            )
            val_loss = None
        return save_checkpoint(cfg, trainer, epoch_itr, val_loss)

    return wrapper


def beginning_anew(function, remembers):
    """Every training calls `function` once, before it needs to remember anything."""

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        vars(remembers).pop("best", None)
        return function(*args, **kwargs)

    return wrapper
