"""The exported model, run by CTranslate2."""

import torch

from ..export.dictionaries import BLANK, Dictionaries
from .sentences import Sentence
from .settings import Decoding
from .variants import Hypothesis


class ExportedVariant:
    """A folder that ``dsp-fairseq export ctranslate2`` wrote, ready to translate."""

    def __init__(self, folder: str, words: Dictionaries, decoding: Decoding, compute_type: str = "float32"):
        self._folder, self._words, self._decoding = folder, words, decoding
        self._numbers = {word: number for number, word in enumerate(words.target)}
        self._type = compute_type
        self._load(compute_type)

    def _load(self, compute_type: str) -> None:
        import ctranslate2

        self._translator = ctranslate2.Translator(
            self._folder,
            device=self._decoding.device,
            compute_type=compute_type,
            intra_threads=torch.get_num_threads(),
        )

    def halve(self) -> None:
        """Compute in float16 from now on."""
        self._load({"float32": "float16"}.get(self._type, f"{self._type}_float16"))

    def prepare(self, batch: list[Sentence]) -> list[list[str]]:
        """A batch as words; CTranslate2 itself adds the end of sentence and pads."""
        return [[self._words.source[number] for number in sentence[:-1]] for sentence in batch]

    def translate(self, batch: list[list[str]]) -> list:
        """Translate a prepared batch; this call is timed."""
        return self._translator.translate_batch(
            batch,
            beam_size=self._decoding.beam,
            max_decoding_length=self._decoding.longest(max(map(len, batch)) + 1),
            return_scores=True,
            suppress_sequences=[[BLANK]],  # fairseq never writes padding either
        )

    def hypotheses(self, found: list) -> list[Hypothesis]:
        end = self._numbers["</s>"]
        return [
            Hypothesis((*(self._numbers[word] for word in result.hypotheses[0]), end), result.scores[0])
            for result in found
        ]
