"""BLEU takes an empty sentence for one of one word, and where there is no word at all it divides by zero

Where: `fairseq.scoring.bleu.Scorer`, of `fairseq-generate` and `fairseq-score`; its C code trims a sentence to its
end-of-sentence symbol but not that. When: always.
"""

import functools


def mend(bleu):
    scorer = bleu.Scorer
    scorer.add = without_the_end_as_a_word(scorer.add)
    scorer.brevity = with_no_words(scorer.brevity, lambda stat: stat.predlen, 0.0)
    scorer.result_string = with_no_words(
        scorer.result_string, lambda stat: stat.reflen, "BLEU4 = 0.00, the references have no words"
    )


def without_the_end_as_a_word(add):
    @functools.wraps(add)
    def wrapper(self, ref, pred):
        no_reference, no_prediction = (not has_words(self, tokens) for tokens in (ref, pred))
        add(self, ref, pred)
        self.stat.reflen -= no_reference
        self.stat.predlen -= no_prediction
        self.stat.count1 -= no_prediction
        self.stat.match1 -= no_prediction and no_reference

    return wrapper


def has_words(scorer, tokens):
    return bool(((tokens != scorer.pad) & (tokens != scorer.eos)).any())


def with_no_words(method, count, result):
    @functools.wraps(method)
    def wrapper(self, *args, **kwargs):
        return method(self, *args, **kwargs) if count(self.stat) else result

    return wrapper
