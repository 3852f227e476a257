"""The sentences that a benchmark translates: a test set, a text file, or random words."""

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from fairseq.data.data_utils import infer_language_pair, load_indexed_dataset

from ..checkpoints.building import task_of
from ..checkpoints.reading import model_options
from ..errors import BadInput
from ..export.dictionaries import load_dictionaries
from ..families import known_family
from ..families.data import END, FIRST_WORD, UNKNOWN, task_options
from .settings import Settings

Sentence = list[int]  # numbers of words in the source dictionary, with the end of sentence

RANDOM_LENGTHS = (5, 25)  # least and most words of a sentence


class Sentences(NamedTuple):
    """Sentences, and a text that says where they are from."""

    sentences: list[Sentence]
    origin: str


def load_sentences(state: dict[str, Any], settings: Settings) -> Sentences:
    """At most ``settings.sentences`` sentences, spread evenly over their source, none longer than the model reads.

    Raises BadInput when ``--data`` or ``--text`` cannot be used. Without them, the sentences
    are the test set of the checkpoint's training, or random words when its folder is gone.
    """
    if settings.text:
        found = _of_text(state, settings.text, settings.data)
    elif settings.data:
        found = _of_data(state, settings.data)
    else:
        found = _of_training(state, settings.sentences)
    options = model_options(state)
    longest, _ = known_family(options).max_positions(options)
    fitting = [sentence for sentence in found.sentences if len(sentence) <= longest]
    if not fitting:
        raise BadInput(f"{found.origin}: no sentence that the model could read (of 1 to {longest} words)")
    return Sentences(spread(fitting, settings.sentences), found.origin)


def spread(items: Sequence, count: int) -> list:
    """``count`` of the items, evenly spread and in order; all items when there are not more."""
    count = min(count, len(items))
    return [items[place * len(items) // count] for place in range(count)]


def batches_of(sentences: list[Sentence], size: int) -> list[list[Sentence]]:
    """Batches of at most ``size`` sentences of similar length, the longest last."""
    ordered = sorted(sentences, key=len)
    return [ordered[start : start + size] for start in range(0, len(ordered), size)]


def largest(batches: list[list[Sentence]]) -> list[Sentence]:
    """The batch with the most words, counting padding."""
    return max(batches, key=lambda batch: len(batch) * max(map(len, batch)))


def random_sentences(words: int, count: int) -> list[Sentence]:
    """Random sentences over a dictionary of ``words`` words, the same at every call."""
    generator = torch.Generator().manual_seed(1)
    shortest, longest = RANDOM_LENGTHS
    lengths = torch.randint(shortest, longest + 1, (count,), generator=generator).tolist()
    return [[*torch.randint(FIRST_WORD, words, (n,), generator=generator).tolist(), END] for n in lengths]


def _of_training(state: dict[str, Any], count: int) -> Sentences:
    folder = (getattr(task_options(state), "data", None) or "(none)").split(os.pathsep)[0]
    try:
        return _of_data(state, folder)
    except BadInput as reason:
        words = len(task_of(state).source_dictionary)
        return Sentences(random_sentences(words, count), f"random words, as there is no test set ({reason})")


def _of_data(state: dict[str, Any], folder: str) -> Sentences:
    if not os.path.isdir(folder):
        raise BadInput(f"data folder {folder}: does not exist")
    load_dictionaries(state, folder)  # refuses the dictionaries of another model
    source, target = _languages(state, folder)
    prefix = os.path.join(folder, f"test.{source}-{target}.{source}")
    dataset = load_indexed_dataset(prefix)
    if dataset is None:
        raise BadInput(f"data folder {folder}: has no test set (no {os.path.basename(prefix)}.idx)")
    return Sentences([dataset[index].tolist() for index in range(len(dataset))], f"test set of {folder}")


def _languages(state: dict[str, Any], folder: str) -> "tuple[str | None, str | None]":
    options = model_options(state)
    given = getattr(options, "source_lang", None), getattr(options, "target_lang", None)
    return infer_language_pair(folder) if None in given else given


def _of_text(state: dict[str, Any], text: str, data: str | None) -> Sentences:
    if not os.path.isfile(text):
        raise BadInput(f"--text {text}: does not exist")
    numbers = {word: number for number, word in enumerate(load_dictionaries(state, data).source)}
    try:
        with open(text, encoding="utf-8") as file:
            lines = [line.split() for line in file]
    except UnicodeDecodeError as error:
        raise BadInput(f"--text {text}: is not UTF-8 ({error.reason} at byte {error.start})") from error
    sentences = [[numbers.get(word, UNKNOWN) for word in words] + [END] for words in lines if words]
    return Sentences(sentences, text)
