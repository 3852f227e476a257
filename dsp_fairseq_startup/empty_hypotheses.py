"""`KeyError: 'bleu'`, or a BLEU that is too high, when the hypotheses of `--eval-bleu` are empty

Where: `TranslationTask.reduce_metrics` skips a batch without a hypothesis of one word: its references then shorten no
BLEU, and a validation of such batches only logs none. When: always.
"""

import functools
import sys


def mend(translation):
    task = translation.TranslationTask
    task.reduce_metrics = counting_empty_hypotheses(task.reduce_metrics)


def counting_empty_hypotheses(reduce_metrics):
    @functools.wraps(reduce_metrics)
    def wrapper(self, logging_outputs, criterion):
        were_scored = any("_bleu_totals_0" in log for log in logging_outputs)  # not so in training
        if were_scored and not sum(log.get("_bleu_totals_0", 0) for log in logging_outputs):
            # more than nothing, yet too little to be left in a sum with 1
            logging_outputs = [{**logging_outputs[0], "_bleu_totals_0": sys.float_info.min}, *logging_outputs[1:]]
        return reduce_metrics(self, logging_outputs, criterion)

    return wrapper
