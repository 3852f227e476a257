"""Makes `checkpoint_best.pt` the best checkpoint of this training, by a metric that its validation logs."""

import collections
import logging

from ..errors import WrongUse
from ..mending import around

LOGGED_BY_EVERY_TASK = "loss"
THE_MORE_THE_BETTER = ("bleu", "accuracy")

logger = logging.getLogger(__name__)


@around("fairseq_cli.train:checkpoint_utils.load_checkpoint")
def check_before_training(load_checkpoint, cfg, trainer, **options):
    """`KeyError: 'bleu'` after the first epoch, with nothing saved, if validation does not log the metric.

    fairseq-train calls this function once, when everything is built and nothing is written. Criterion and task decide
    what is logged as `--best-checkpoint-metric`, so the first batch of the validation is evaluated here. It is not
    decoded, because `--eval-bleu` is known to log `bleu`. For a task that adds values in `post_validate`, the check
    is left to the first validation.
    """
    metric = cfg.best_checkpoint_metric
    if not (metric == LOGGED_BY_EVERY_TASK or trainer.cfg.dataset.disable_validation):
        if not hasattr(trainer.task, "post_validate"):
            refuse_unless_logged(metric, logged_names(trainer), trainer.task)
        if metric in THE_MORE_THE_BETTER and not cfg.maximize_best_checkpoint_metric:
            logger.warning(
                "--best-checkpoint-metric %s without --maximize-best-checkpoint-metric: "
                "checkpoint_best.pt will be that of the LOWEST %s",
                *(metric, metric),
            )
    return load_checkpoint(cfg, trainer, **options)


def logged_names(trainer):
    from fairseq.logging import metrics

    first_batch = trainer.get_valid_iterator(trainer.cfg.dataset.valid_subset.split(",")[0]).first_batch
    decodes = would_decode(trainer.task)
    try:
        if decodes:
            trainer.task.cfg.eval_bleu = False
        with metrics.aggregate(new_root=True) as logged:
            trainer.valid_step(first_batch)
    finally:
        if decodes:
            trainer.task.cfg.eval_bleu = True
    return {*logged.get_smoothed_values(), "num_updates", *(["bleu"] if decodes else [])}


def would_decode(task):
    """Whether validation decodes to compute BLEU; None if the task has no option `--eval-bleu`."""
    return getattr(getattr(task, "cfg", None), "eval_bleu", None)


def refuse_unless_logged(metric, names, task=None):
    if metric not in names:
        remedy = ", or bleu with --eval-bleu" if would_decode(task) is False else ""
        raise WrongUse(
            f"--best-checkpoint-metric {metric}: validation logs no such value; take one of "
            f"{', '.join(sorted(names))}{remedy}"
        )


@around("fairseq_cli.train:get_valid_stats")
def name_what_is_logged(get_valid_stats, cfg, trainer, stats, tracking_best):
    return get_valid_stats(cfg, trainer, Stats(stats), tracking_best)


class Stats(collections.OrderedDict):
    """The values that a validation has logged; reading a value that is missing raises WrongUse."""

    def __missing__(self, metric):
        refuse_unless_logged(metric, set(self))


@around("fairseq.checkpoint_utils:save_checkpoint")
def nan_is_not_the_best(save_checkpoint, cfg, trainer, epoch_itr, val_loss):
    """Without this mend, a validation loss of NaN makes a checkpoint the best one.

    This happens mostly in half precision, where a training continues for a while after it has diverged.
    """
    if val_loss is not None and val_loss != val_loss:
        logger.warning(
            "validation after %s updates: %s is NaN, the training has diverged; this checkpoint is not the best",
            *(trainer.get_num_updates(), cfg.best_checkpoint_metric),
        )
        val_loss = None
    return save_checkpoint(cfg, trainer, epoch_itr, val_loss)


@around("fairseq_cli.train:main")
def forget_the_last_training(main, *args, **kwargs):
    """Without this mend, the best value of an earlier training in this process counts, as in a hydra multirun.

    It decides which checkpoint is the best, and when `--patience` ends the training.
    """
    from fairseq import checkpoint_utils
    from fairseq_cli import train

    for function in (checkpoint_utils.save_checkpoint, train.should_stop_early):
        vars(function).pop("best", None)
    return main(*args, **kwargs)
