"""The scores of cells, from what their evaluations printed."""

from ..errors import Failed
from . import logs
from .evaluation import Score
from .plan import Cell


def fairseq_bleu() -> Score:
    import fairseq

    signature = f"BLEU4 of fairseq-generate {fairseq.__version__}, of the words as they are in the data"
    return Score(signature, logs.bleu4)


def sacre_bleu(path: str) -> Score:
    """BLEU of the detokenised translations against the text in ``path``."""
    from sacrebleu.metrics import BLEU

    with open(path, encoding="utf-8", newline="\n") as file:
        # no splitlines(): it also cuts at characters that are part of a sentence, such as U+2028
        reference = file.read().removesuffix("\n").split("\n")
    metric = BLEU()
    metric.corpus_score(reference, [reference])  # the signature exists only after a score was computed

    def of(cell: Cell) -> float:
        texts = logs.hypotheses(cell)
        if len(texts) != len(reference):
            raise Failed(
                f"{cell.name}: {cell.printed} has {len(texts)} translations, score.sacrebleu {path} "
                f"{len(reference)} lines; name the reference of what fairseq-generate translates"
            )
        return metric.corpus_score(texts, [reference]).score

    return Score(f"sacreBLEU {metric.get_signature()}", of)


def perplexity() -> Score:
    """2 to the power of the loss that fairseq-eval-lm prints, which has more digits than its perplexity."""
    import fairseq

    return Score(
        f"fairseq-eval-lm {fairseq.__version__}, for each token of the data", lambda cell: 2 ** logs.loss(cell)
    )
