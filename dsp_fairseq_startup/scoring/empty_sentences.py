"""Sentences without words count as sentences of length 0 in BLEU, and never give a perfect score."""

import sys

from ..errors import WrongUse
from ..mending import around

SCORER = "fairseq.scoring.bleu:Scorer"


@around(f"{SCORER}.add")
def add_without_the_end_as_a_word(add, self, ref, pred):
    """Without this mend, an empty sentence counts as one word: fairseq's C code counts its end-of-sentence symbol."""
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

    fairseq skips batches in which no hypothesis has a word, although their references lower BLEU. If all batches of a
    validation are like that, it logs no BLEU.
    """
    were_scored = any("_bleu_totals_0" in log for log in logging_outputs)  # False in training
    if were_scored and not sum(log.get("_bleu_totals_0", 0) for log in logging_outputs):
        # a number above zero that is too small to change a sum of counts
        logging_outputs = [{**logging_outputs[0], "_bleu_totals_0": sys.float_info.min}, *logging_outputs[1:]]
    return reduce_metrics(self, logging_outputs, criterion)


@around("fairseq_cli.eval_lm:eval_lm")
def refuse_an_empty_score(eval_lm, *args, **kwargs):
    """Without this mend, `fairseq-eval-lm` prints `Perplexity: 1.00` when it has scored no word.

    It cuts the text into pieces of `--tokens-per-sample` (1024) and skips those that are too long for the model.
    """
    results = eval_lm(*args, **kwargs)
    if results["loss"] == 0:
        raise WrongUse(
            "no word was scored: all pieces of the text are longer than the model reads; give "
            "--tokens-per-sample as in its training"
        )
    return results
