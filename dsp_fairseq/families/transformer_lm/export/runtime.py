"""Scores texts with fairseq and with an exported language model, to compare them."""

from typing import Any, NamedTuple

import ctranslate2
import torch
from torch import Tensor

from ....errors import Failed
from ...data import END, FIRST_WORD

LENGTHS = (1, 2, 3, 5, 8, 13, 21, 34)  # words of a text


class Text(NamedTuple):
    """A text as numbers of words, without the end of the text before it."""

    source: list[int]


def random_pairs(model: Any, words: Any) -> list[Text]:
    """Random texts of several lengths, none longer than the model reads."""
    generator = torch.Generator().manual_seed(1)
    lengths = [min(length, model.max_positions() - 1) for length in LENGTHS]
    return [
        Text(torch.randint(FIRST_WORD, len(words.target), (length,), generator=generator).tolist())
        for length in lengths
    ]


@torch.no_grad()
def fairseq_scores(model: Any, texts: list[Text]) -> list[Tensor]:
    """Log-probabilities of the words of each text, [words] each."""
    scores = []
    for [text] in texts:
        read = torch.tensor([[END, *text[:-1]]])
        chances = model.get_normalized_probs(model(read), log_probs=True).float()
        # [1, words, types] -> [words]
        scores.append(chances[0].gather(1, torch.tensor(text).unsqueeze(1)).squeeze(1))
    return scores


class Exported:
    """An exported language model, loaded from its folder, on the CPU; ``words`` are its dictionaries."""

    def __init__(self, folder: str, words: Any, compute_type: str):
        self._words = words.target
        try:
            self._generator = ctranslate2.Generator(folder, device="cpu", compute_type=compute_type)
        except (RuntimeError, ValueError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise Failed(f"CTranslate2 cannot load what was exported: {reason}") from error

    def scores(self, texts: list[Text]) -> list[Tensor]:
        """The scores that :func:`fairseq_scores` gives, from the exported model."""
        results = self._generator.score_batch([self._tokens(text) for text in texts])
        return [torch.tensor(result.log_probs) for result in results]

    def translates(self, texts: list[Text]) -> bool:
        """Whether every text can be continued, with a finite score."""
        results = self._generator.generate_batch(
            [self._tokens(text) for text in texts], max_length=8, beam_size=2, return_scores=True
        )
        return all(torch.tensor(result.scores).isfinite().all() for result in results)

    def _tokens(self, text: Text) -> list[str]:
        return [self._words[number] for number in (END, *text.source)]


def usage(out: str, sentence: list[str]) -> list[str]:
    """Lines of Python that continue a text with the model in a folder."""
    return [
        "sample from it, texts as tokens (BPE applied) after </s>:",
        "    import ctranslate2",
        f"    generator = ctranslate2.Generator({out!r})",
        f"    text = {['</s>', *sentence]!r}",
        "    print(generator.generate_batch([text], max_length=50, sampling_topk=10)[0].sequences[0])",
    ]
