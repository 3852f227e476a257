"""What is timed of a translation model: beam search over batches of sentences and over single sentences."""

import os
from argparse import Namespace
from typing import Any, NamedTuple

import torch
from fairseq.data.data_utils import collate_tokens, infer_language_pair, load_indexed_dataset
from fairseq.sequence_generator import SequenceGenerator
from torch import Tensor

from ...errors import BadInput
from ..data import BLANK, END, FIRST_WORD, PAD, DataFolder
from ..family import known_family
from ..work import Decoding, Input, Jobs, Wording, Work

RANDOM_LENGTHS = (5, 25)  # least and most words of a sentence
TIE = 1e-4  # difference of two scores below which rounding decides between the translations


class Hypothesis(NamedTuple):
    """The best translation of a sentence."""

    tokens: tuple[int, ...]  # numbers of words in the target dictionary, with the end of sentence
    score: float  # mean log-probability of a word

    def same_as(self, other: "Hypothesis") -> bool:
        return self.tokens == other.tokens

    def as_good_as(self, other: "Hypothesis") -> bool:
        return abs(self.score - other.score) <= TIE


class Translation(Work):
    """Sentences, with their end, become their best translations."""

    wording = Wording(
        task="translation",
        verb="translate",
        inputs="sentences",
        outcomes="translations",
        command="fairseq-generate",
        stock="transformer",
        single="one sentence at a time",
    )
    singles = 50

    def limits(self, decoding: Decoding) -> str:
        return f"translations of at most {decoding.max_len_a:g} x source + {decoding.max_len_b} words"

    def longest(self, options: Namespace) -> float:
        longest, _ = known_family(options).max_positions(options)
        return longest

    def test_set(self, data: DataFolder, options: Namespace) -> list[Input]:
        given = getattr(options, "source_lang", None), getattr(options, "target_lang", None)
        source, target = infer_language_pair(data.path) if None in given else given
        prefix = os.path.join(data.path, f"test.{source}-{target}.{source}")
        dataset = load_indexed_dataset(prefix)
        if dataset is None:
            raise BadInput(f"data folder {data.path}: has no test set (no {os.path.basename(prefix)}.idx)")
        return [dataset[index].tolist() for index in range(len(dataset))]

    def of_lines(self, lines: list[Input], options: Namespace, task: Namespace) -> list[Input]:
        return [[*line, END] for line in lines if line]

    def random(self, words: int, count: int, options: Namespace, task: Namespace) -> list[Input]:
        return random_sentences(words, count)

    def jobs(self, model: Any, dictionary: Any, decoding: Decoding) -> Jobs:
        job = Translating(model, dictionary, decoding)
        return Jobs(job, job)

    def exported_jobs(self, folder: str, words: Any, decoding: Decoding, compute_type: str, options: Namespace) -> Jobs:
        job = ExportedTranslating(folder, words, decoding, compute_type)
        return Jobs(job, job)


def random_sentences(words: int, count: int) -> list[Input]:
    """Random sentences over a dictionary of ``words`` words, the same at every call."""
    generator = torch.Generator().manual_seed(1)
    shortest, longest = RANDOM_LENGTHS
    lengths = torch.randint(shortest, longest + 1, (count,), generator=generator).tolist()
    return [[*torch.randint(FIRST_WORD, words, (n,), generator=generator).tolist(), END] for n in lengths]


class Translating:
    """fairseq's own beam search."""

    def __init__(self, model: Any, dictionary: Any, decoding: Decoding):
        self._model, self._decoding = model, decoding
        self._generator = SequenceGenerator(
            [model],
            dictionary,
            beam_size=decoding.beam,
            max_len_a=decoding.max_len_a,
            max_len_b=decoding.max_len_b,
        )

    def prepare(self, batch: list[Input]) -> dict[str, dict[str, Tensor]]:
        """A batch for fairseq on the device: ``src_tokens`` [sentences, longest], padded on the left."""
        lengths = torch.tensor([len(sentence) for sentence in batch])
        tokens = collate_tokens([torch.tensor(sentence) for sentence in batch], PAD, left_pad=True)
        device = self._decoding.device
        return {"net_input": {"src_tokens": tokens.to(device), "src_lengths": lengths.to(device)}}

    def run(self, prepared: dict[str, dict[str, Tensor]]) -> list[list[dict[str, Tensor]]]:
        found = self._generator.generate([self._model], prepared)
        if self._decoding.device == "cuda":
            torch.cuda.synchronize()
        return found

    def outcomes(self, done: list[list[dict[str, Tensor]]]) -> list[Hypothesis]:
        return [Hypothesis(tuple(beam[0]["tokens"].tolist()), float(beam[0]["score"])) for beam in done]


class ExportedTranslating:
    """CTranslate2's beam search."""

    def __init__(self, folder: str, words: Any, decoding: Decoding, compute_type: str):
        import ctranslate2

        self._words, self._decoding = words, decoding
        self._numbers = {word: number for number, word in enumerate(words.target)}
        self._translator = ctranslate2.Translator(
            folder, device=decoding.device, compute_type=compute_type, intra_threads=torch.get_num_threads()
        )

    def prepare(self, batch: list[Input]) -> list[list[str]]:
        """A batch as words; CTranslate2 itself adds the end of sentence and pads."""
        return [[self._words.source[number] for number in sentence[:-1]] for sentence in batch]

    def run(self, prepared: list[list[str]]) -> list:
        return self._translator.translate_batch(
            prepared,
            beam_size=self._decoding.beam,
            max_decoding_length=self._decoding.longest(max(map(len, prepared)) + 1),
            return_scores=True,
            suppress_sequences=[[BLANK]],  # fairseq never writes padding either
        )

    def outcomes(self, done: list) -> list[Hypothesis]:
        end = self._numbers["</s>"]
        return [
            Hypothesis((*(self._numbers[word] for word in result.hypotheses[0]), end), result.scores[0])
            for result in done
        ]
