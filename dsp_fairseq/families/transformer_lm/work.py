"""What is timed of a language model: reading a text as ``fairseq-eval-lm`` does, and continuing single texts."""

import os
from argparse import Namespace
from typing import Any, NamedTuple

import torch
from fairseq.data.data_utils import collate_tokens
from fairseq.sequence_generator import SequenceGenerator
from fairseq.sequence_scorer import SequenceScorer
from torch import Tensor

from ...errors import BadInput
from ..data import BLANK, END, FIRST_WORD, PAD, DataFolder
from ..family import known_family
from ..work import Decoding, Input, Jobs, Wording, Work
from .data import dataset

SAMPLE = 256  # words of a sample where nothing says how long those of the training were
PROMPT = 8  # words of a text that is continued
TOLERANCE = 1e-4  # largest difference of a word's log-probability between variants of one model


class Scores(NamedTuple):
    """What a model thinks of a sample, or of its own continuation of a text."""

    tokens: tuple[int, ...]
    log_probabilities: tuple[float, ...]  # of each of the tokens

    def same_as(self, other: "Scores") -> bool:
        pairs = zip(self.log_probabilities, other.log_probabilities, strict=True)
        return self.tokens == other.tokens and all(abs(one - two) <= TOLERANCE for one, two in pairs)

    def as_good_as(self, other: "Scores") -> bool:
        return False  # nothing is chosen between


class Reading(Work):
    """Samples of a text: a model reads each but for its last word, and predicts each but for its first word.

    A sample begins with the word before it. A model with memory reads it segment by segment.
    """

    wording = Wording(
        task="language_modeling",
        verb="predict",
        inputs="samples",
        outcomes="probabilities",
        command="fairseq-eval-lm",
        stock="transformer_lm",
        single="continuing one text at a time",
    )
    singles = 10

    def limits(self, decoding: Decoding) -> str:
        return f"latency: {PROMPT} words and {decoding.longest(PROMPT)} that continue them"

    def longest(self, options: Namespace) -> float:
        return known_family(options).max_positions(options) + 1

    def test_set(self, data: DataFolder, options: Namespace) -> list[Input]:
        if not os.path.isfile(os.path.join(data.path, "test.idx")):
            raise BadInput(f"data folder {data.path}: has no test set (no test.idx)")
        samples = dataset(data, "test")
        return [_whole(samples[index]) for index in range(len(samples))]

    def of_lines(self, lines: list[Input], options: Namespace, task: Namespace) -> list[Input]:
        text = [END, *(number for line in lines for number in (*line, END))]
        words = _words_of_sample(options, task)
        return [text[start : start + words + 1] for start in range(0, len(text) - 1, words)]

    def random(self, words: int, count: int, options: Namespace, task: Namespace) -> list[Input]:
        generator = torch.Generator().manual_seed(1)
        length = _words_of_sample(options, task)
        return [
            [END, *sample] for sample in torch.randint(FIRST_WORD, words, (count, length), generator=generator).tolist()
        ]

    def jobs(self, model: Any, dictionary: Any, decoding: Decoding) -> Jobs:
        return Jobs(Scoring(model, dictionary, decoding), Continuing(model, dictionary, decoding))

    def exported_jobs(self, folder: str, words: Any, decoding: Decoding, compute_type: str, options: Namespace) -> Jobs:
        import ctranslate2

        generator = ctranslate2.Generator(
            folder, device=decoding.device, compute_type=compute_type, intra_threads=torch.get_num_threads()
        )
        return Jobs(
            ExportedScoring(generator, words),
            ExportedContinuing(generator, words, decoding, int(self.longest(options)) - 2),
        )


def _whole(sample: dict[str, Any]) -> Input:
    """A sample of fairseq's data set: what is read, and the last word that is predicted."""
    return [*sample["source"].tolist(), int(sample["target"][-1])]


def _words_of_sample(options: Namespace, task: Namespace) -> int:
    given = getattr(task, "tokens_per_sample", None) or getattr(options, "tokens_per_sample", None) or SAMPLE
    return int(min(given, known_family(options).max_positions(options)))


def prompt_of(sample: Input) -> Input:
    """The first words of a sample that are no end of sentence, at which fairseq would stop."""
    return [number for number in sample if number != END][:PROMPT]


class Scoring:
    """The probabilities of the words of samples, by the scorer of ``fairseq-eval-lm``."""

    def __init__(self, model: Any, dictionary: Any, decoding: Decoding):
        self._model, self._device = model, decoding.device
        self._scorer = SequenceScorer(dictionary)

    def prepare(self, batch: list[Input]) -> dict[str, Any]:
        """A batch for fairseq on the device: tokens [samples, longest], padded on the right, and those after them."""
        lengths = torch.tensor([len(sample) - 1 for sample in batch])
        words = collate_tokens([torch.tensor(sample) for sample in batch], PAD).to(self._device)
        return {
            "net_input": {"src_tokens": words[:, :-1].contiguous(), "src_lengths": lengths.to(self._device)},
            "target": words[:, 1:].contiguous(),
        }

    def run(self, prepared: dict[str, Any]) -> list[list[dict[str, Tensor]]]:
        found = self._scorer.generate([self._model], prepared)
        if self._device == "cuda":
            torch.cuda.synchronize()
        return found

    def outcomes(self, done: list[list[dict[str, Tensor]]]) -> list[Scores]:
        return [
            Scores(tuple(best["tokens"].tolist()), tuple(best["positional_scores"].float().tolist())) for [best] in done
        ]


class Continuing:
    """The first words of a sample, continued by beam search to a fixed number of words, word by word."""

    def __init__(self, model: Any, dictionary: Any, decoding: Decoding):
        self._model, self._dictionary, self._decoding = model, dictionary, decoding
        self._generators: dict[int, SequenceGenerator] = {}  # by the number of words

    def prepare(self, batch: list[Input]) -> tuple[SequenceGenerator, Tensor]:
        [sample] = batch
        prompt = torch.tensor([prompt_of(sample)], dtype=torch.int64, device=self._decoding.device)  # [1, words]
        words = prompt.size(1) + self._decoding.longest(prompt.size(1))
        words = int(min(words, self._model.max_decoder_positions() - 1))
        if words not in self._generators:
            length = {"min_len": words, "max_len_a": 0, "max_len_b": words}
            self._generators[words] = SequenceGenerator(
                [self._model], self._dictionary, beam_size=self._decoding.beam, **length
            )
        return self._generators[words], prompt

    def run(self, prepared: tuple[SequenceGenerator, Tensor]) -> list[list[dict[str, Tensor]]]:
        generator, prompt = prepared
        inputs = {"src_tokens": prompt, "src_lengths": torch.tensor([prompt.size(1)], device=prompt.device)}
        found = generator.generate([self._model], {"net_input": inputs}, prefix_tokens=prompt, bos_token=END)
        if self._decoding.device == "cuda":
            torch.cuda.synchronize()
        return found

    def outcomes(self, done: list[list[dict[str, Tensor]]]) -> list[Scores]:
        return [
            Scores(tuple(best["tokens"].tolist()), tuple(best["positional_scores"].float().tolist()))
            for best, *_ in done
        ]


class ExportedScoring:
    """As :class:`Scoring`, by CTranslate2."""

    def __init__(self, generator: Any, words: Any):
        self._generator, self._words = generator, words.target
        self._numbers = {word: number for number, word in enumerate(self._words)}

    def prepare(self, batch: list[Input]) -> list[list[str]]:
        return [[self._words[number] for number in sample] for sample in batch]

    def run(self, prepared: list[list[str]]) -> list:
        return self._generator.score_batch(prepared, max_input_length=0)

    def outcomes(self, done: list) -> list[Scores]:
        return [
            Scores(tuple(self._numbers[word] for word in result.tokens), tuple(result.log_probs)) for result in done
        ]


class ExportedContinuing:
    """As :class:`Continuing`, by CTranslate2."""

    def __init__(self, generator: Any, words: Any, decoding: Decoding, most: int):
        self._generator, self._words, self._decoding, self._most = generator, words.target, decoding, most
        self._numbers = {word: number for number, word in enumerate(self._words)}

    def prepare(self, batch: list[Input]) -> list[list[str]]:
        return [[self._words[number] for number in (END, *prompt_of(sample))] for sample in batch]

    def run(self, prepared: list[list[str]]) -> list:
        [prompt] = prepared
        given = len(prompt) - 1
        words = min(given + self._decoding.longest(given), self._most) - given
        return self._generator.generate_batch(
            prepared,
            beam_size=self._decoding.beam,
            min_length=words,
            max_length=words,
            include_prompt_in_result=False,
            return_scores=True,
            suppress_sequences=[[BLANK]],
        )

    def outcomes(self, done: list) -> list[Scores]:
        return [Scores(tuple(result.sequences_ids[0]), ()) for result in done]
