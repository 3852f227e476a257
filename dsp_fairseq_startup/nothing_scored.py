"""`Loss (base 2): 0.0000, Perplexity: 1.00` from `fairseq-eval-lm` that has scored nothing

Where: `fairseq_cli.eval_lm` cuts the text into pieces of `--tokens-per-sample` (1024), skips those that are longer
than the model reads, and takes the mean of nothing for 0. When: always.
"""

import functools

from .bad_checkpoint import WrongUse


def mend(command_module):
    command_module.eval_lm = of_something(command_module.eval_lm)


def of_something(eval_lm):
    @functools.wraps(eval_lm)
    def wrapper(*args, **kwargs):
        results = eval_lm(*args, **kwargs)
        if results["loss"] == 0:
            raise WrongUse(
                "no word was scored: all pieces of the text are longer than the model reads; give "
                "--tokens-per-sample as in its training"
            )
        return results

    return wrapper
