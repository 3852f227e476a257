"""Sentences without a word count as such: not as one word, not as nothing at all, and never as a perfect score."""

import sys

from ..errors import WrongUse
from ..mending import around

SCORER = "fairseq.scoring.bleu:Scorer"


@around(f"{SCORER}.add")
def add_without_the_end_as_a_word(add, self, ref, pred):
    """BLEU takes an empty sentence for one of one word: its C code does not cut a lone end-of-sentence symbol."""
    no_reference, no_prediction = (not has_words(self, tokens) for tokens in (ref, pred))
    add(self, ref, pred)
    self.stat.reflen -= no_reference
    self.stat.predlen -= no_prediction
    self.stat.count1 -= no_prediction
    self.stat.match1 -= no_prediction and no_reference


def has_words(scorer, tokens):
    return bool(((tokens != scorer.pad) & (tokens != scorer.eos)).any())


@around(f"{SCORER}.brevity")
def brevity_without_words(brevity, self):
    return brevity(self) if self.stat.predlen else 0.0


@around(f"{SCORER}.result_string")
def result_without_words(result_string, self, *args, **kwargs):
    return result_string(self, *args, **kwargs) if self.stat.reflen else "BLEU4 = 0.00, the references have no words"


@around("fairseq.tasks.translation:TranslationTask.reduce_metrics")
def count_empty_hypotheses(reduce_metrics, self, logging_outputs, criterion):
    """`KeyError: 'bleu'`, or a BLEU that is too high, when hypotheses of `--eval-bleu` are empty.

    fairseq skips a batch without a hypothesis of one word, although its references make BLEU lower, and logs none for a
    validation of such batches.
    """
    were_scored = any("_bleu_totals_0" in log for log in logging_outputs)  # not so in training
    if were_scored and not sum(log.get("_bleu_totals_0", 0) for log in logging_outputs):
        # above zero, yet too small to change a sum with 1
        logging_outputs = [{**logging_outputs[0], "_bleu_totals_0": sys.float_info.min}, *logging_outputs[1:]]
    return reduce_metrics(self, logging_outputs, criterion)


@around("fairseq_cli.eval_lm:eval_lm")
def refuse_an_empty_score(eval_lm, *args, **kwargs):
    """`Loss (base 2): 0.0000, Perplexity: 1.00` from `fairseq-eval-lm` that has scored nothing.

    It cuts the text into pieces of `--tokens-per-sample` (1024) and skips those that are longer than the model reads.
    """
    results = eval_lm(*args, **kwargs)
    if results["loss"] == 0:
        raise WrongUse(
            "no word was scored: all pieces of the text are longer than the model reads; give "
            "--tokens-per-sample as in its training"
        )
    return results
