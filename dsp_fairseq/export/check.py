"""Compares the scores of an exported model with those of fairseq."""

from collections.abc import Callable
from typing import NamedTuple

import ctranslate2
import torch
from torch import Tensor

from ..errors import Failed
from ..families.data import END, FIRST_WORD
from .dictionaries import Dictionaries

TOLERANCE = 1e-4  # largest difference of a word's log-probability, in float32
LENGTHS = (1, 2, 3, 5, 8, 13, 21, 34)  # words of a sentence


class Pair(NamedTuple):
    """A sentence and its translation as numbers of words, without the end of sentence."""

    source: list[int]
    target: list[int]


def random_pairs(model, words: Dictionaries) -> list[Pair]:
    """Random sentences of several lengths, none longer than the model reads."""
    generator = torch.Generator().manual_seed(1)
    pairs = []
    for lengths in zip(LENGTHS, reversed(LENGTHS), strict=True):
        sides = zip(words, lengths, model.max_positions(), strict=True)
        pairs.append(Pair(*(_sentence(len(side), min(n, most - 1), generator) for side, n, most in sides)))
    return pairs


def _sentence(words: int, length: int, generator) -> list[int]:
    return torch.randint(FIRST_WORD, words, (length,), generator=generator).tolist()


@torch.no_grad()
def fairseq_scores(model, pairs: list[Pair]) -> list[Tensor]:
    """Log-probabilities of the words of each translation and of its end, [words + 1] each."""
    scores = []
    for source, target in pairs:
        read = torch.tensor([[*source, END]])
        logits, _ = model(read, torch.tensor([read.size(1)]), torch.tensor([[END, *target]]))
        expected = torch.tensor([*target, END])
        # [1, words + 1, types] -> [words + 1]
        scores.append(logits[0].float().log_softmax(-1).gather(1, expected.unsqueeze(1)).squeeze(1))
    return scores


class Exported:
    """An exported model, loaded from its folder, on the CPU."""

    def __init__(self, folder: str, words: Dictionaries, compute_type: str):
        self._words = words
        try:
            self._translator = ctranslate2.Translator(folder, device="cpu", compute_type=compute_type)
        except (RuntimeError, ValueError) as error:
            raise Failed(f"CTranslate2 cannot load what was exported: {_first_line(error)}") from error

    def scores(self, pairs: list[Pair]) -> list[Tensor]:
        """The scores that :func:`fairseq_scores` gives, from the exported model."""
        results = self._translator.score_batch(*self._tokens(pairs))
        return [torch.tensor(result.log_probs) for result in results]

    def translates(self, pairs: list[Pair]) -> bool:
        """Whether every sentence has a translation with a finite score."""
        sources, _ = self._tokens(pairs)
        results = self._translator.translate_batch(
            sources, beam_size=2, max_decoding_length=8, return_scores=True, min_decoding_length=0
        )
        return all(torch.tensor(result.scores).isfinite().all() for result in results)

    def _tokens(self, pairs: list[Pair]) -> tuple[list[list[str]], list[list[str]]]:
        sources = [[self._words.source[number] for number in pair.source] for pair in pairs]
        return sources, [[self._words.target[number] for number in pair.target] for pair in pairs]


def usage(out: str, sentence: list[str]) -> list[str]:
    """Lines of Python that translate a sentence with the model in a folder."""
    return [
        "translate with it, sentences as tokens (BPE applied):",
        "    import ctranslate2",
        f"    translator = ctranslate2.Translator({out!r})",
        f"    print(translator.translate_batch([{sentence!r}])[0].hypotheses[0])",
    ]


def difference(expected: list[Tensor], actual: list[Tensor]) -> float:
    """Largest difference between two scores of one word; infinite when the numbers of words differ."""
    if [len(scores) for scores in expected] != [len(scores) for scores in actual]:
        return float("inf")
    largest = (torch.cat(expected) - torch.cat(actual)).abs().max()
    return float(largest.nan_to_num(float("inf")))


def check_scores(
    folder: str, words: Dictionaries, pairs: list[Pair], expected: list[Tensor], exported: Callable = Exported
) -> float:
    """Largest difference of a word's score between fairseq and the float32 model in a folder.

    Raises Failed when the difference is above ``TOLERANCE``.
    """
    found = difference(expected, exported(folder, words, "float32").scores(pairs))
    if found > TOLERANCE:
        raise Failed(
            f"scores of the exported model differ from fairseq's by {found:.1e} (allowed {TOLERANCE:.0e}), so "
            "nothing was written; please report this with the versions of ctranslate2 and torch"
        )
    return found


def check_quantised(
    folder: str,
    words: Dictionaries,
    pairs: list[Pair],
    expected: list[Tensor],
    quantization: str,
    exported: Callable = Exported,
) -> float:
    """As :func:`check_scores` for a quantised model: any finite difference is allowed, but the model must translate."""
    # CPUs do not compute in float16; asking for float32 avoids a warning of CTranslate2
    model = exported(folder, words, "float32" if quantization == "float16" else "default")
    found = difference(expected, model.scores(pairs))
    if not found < float("inf") or not model.translates(pairs):
        raise Failed(f"--quantization {quantization}: the model does not translate, so nothing was written; try none")
    return found


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
