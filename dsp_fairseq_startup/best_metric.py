"""`KeyError: 'bleu'` after the first epoch, nothing saved: `--best-checkpoint-metric` that no validation logs

Where: `fairseq_cli.train.validate`. When: always. What is logged is up to the criterion and the task, so the first
batch of the validation is evaluated before training (without decoding: of `--eval-bleu` it is known that it logs
`bleu`). A task that adds values of its own in `post_validate` is asked at the first validation only.
"""

import collections
import contextlib
import functools
import logging

from .bad_checkpoint import WrongUse

LOGGED_BY_EVERYONE = "loss"
THE_MORE_THE_BETTER = ("bleu", "accuracy")

logger = logging.getLogger(__name__)


def mend(train):
    utils = train.checkpoint_utils
    utils.load_checkpoint = with_a_metric_that_is_logged(utils.load_checkpoint)
    train.get_valid_stats = naming_what_there_is(train.get_valid_stats)


def with_a_metric_that_is_logged(load_checkpoint):
    @functools.wraps(load_checkpoint)
    def wrapper(cfg, trainer, **options):  # called once by fairseq-train, when all is built and nothing written
        metric = cfg.best_checkpoint_metric
        if not (metric == LOGGED_BY_EVERYONE or trainer.cfg.dataset.disable_validation):
            if not hasattr(trainer.task, "post_validate"):
                refuse_unless_logged(metric, logged_names(trainer), trainer.task)
            if metric in THE_MORE_THE_BETTER and not cfg.maximize_best_checkpoint_metric:
                logger.warning(
                    "--best-checkpoint-metric %s without --maximize-best-checkpoint-metric: "
                    "checkpoint_best.pt will be that of the LOWEST %s",
                    *(metric, metric),
                )
        return load_checkpoint(cfg, trainer, **options)

    return wrapper


def logged_names(trainer):
    from fairseq.logging import metrics

    first_batch = trainer.get_valid_iterator(trainer.cfg.dataset.valid_subset.split(",")[0]).first_batch
    with without_decoding(trainer.task) as decoded, metrics.aggregate(new_root=True) as logged:
        trainer.valid_step(first_batch)
    return {*logged.get_smoothed_values(), *decoded, "num_updates"}


@contextlib.contextmanager
def without_decoding(task):
    if not _decodes(task):
        yield ()
        return
    task.cfg.eval_bleu = False
    try:
        yield ("bleu",)
    finally:
        task.cfg.eval_bleu = True


def _decodes(task):
    return getattr(getattr(task, "cfg", None), "eval_bleu", False)


def refuse_unless_logged(metric, names, task=None):
    if metric not in names:
        could_decode = hasattr(getattr(task, "cfg", None), "eval_bleu") and not _decodes(task)
        remedy = ", or bleu with --eval-bleu" if could_decode else ""
        raise WrongUse(
            f"--best-checkpoint-metric {metric}: validation logs no such value; take one of "
            f"{', '.join(sorted(names))}{remedy}"
        )


def naming_what_there_is(get_valid_stats):
    @functools.wraps(get_valid_stats)
    def wrapper(cfg, trainer, stats, tracking_best):
        return get_valid_stats(cfg, trainer, _Stats(stats), tracking_best)

    return wrapper


class _Stats(collections.OrderedDict):
    def __missing__(self, metric):
        refuse_unless_logged(metric, set(self))
