"""The inputs that a benchmark gives to models: a test set, a text file, or random words."""

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

from ..checkpoints.building import task_of
from ..checkpoints.reading import model_options
from ..errors import BadInput
from ..export.dictionaries import REMEDY, load_dictionaries
from ..families import known_family
from ..families.data import UNKNOWN, DataFolder, task_options
from ..families.work import Input
from .settings import Settings


class Sentences(NamedTuple):
    """Sentences or other inputs, and a text that says where they are from."""

    sentences: list[Input]
    origin: str


def load_sentences(state: dict[str, Any], settings: Settings, others: Sequence[dict[str, Any]] = ()) -> Sentences:
    """At most ``settings.sentences`` inputs, spread evenly over their source, none longer than the models read.

    They are those of the checkpoint ``state``; ``others`` are checkpoints that read them too.

    Raises BadInput when ``--data`` or ``--text`` cannot be used. Without them, the inputs
    are the test set of the checkpoint's training, or random words when its folder is gone.
    """
    if settings.text:
        found = _of_text(state, settings.text, settings.data)
    elif settings.data:
        found = _of_data(state, settings.data)
    else:
        found = _of_training(state, settings.sentences)
    work = known_family(model_options(state)).work()
    longest = min(work.longest(model_options(each)) for each in (state, *others))
    fitting = [each for each in found.sentences if len(each) <= longest]
    if not fitting:
        single = work.wording.inputs[:-1]
        raise BadInput(f"{found.origin}: no {single} that the model could read (of 1 to {longest} words)")
    return Sentences(spread(fitting, settings.sentences), found.origin)


def spread(items: Sequence, count: int) -> list:
    """``count`` of the items, evenly spread and in order; all items when there are not more."""
    count = min(count, len(items))
    return [items[place * len(items) // count] for place in range(count)]


def batches_of(sentences: list[Input], size: int) -> list[list[Input]]:
    """Batches of at most ``size`` inputs of similar length, the longest last."""
    ordered = sorted(sentences, key=len)
    return [ordered[start : start + size] for start in range(0, len(ordered), size)]


def largest(batches: list[list[Input]]) -> list[Input]:
    """The batch with the most words, counting padding."""
    return max(batches, key=lambda batch: len(batch) * max(map(len, batch)))


def _of_training(state: dict[str, Any], count: int) -> Sentences:
    task, options = task_options(state), model_options(state)
    folder = (getattr(task, "data", None) or "(none)").split(os.pathsep)[0]
    try:
        return _of_data(state, folder)
    except BadInput as reason:
        words = len(task_of(state).source_dictionary)
        found = known_family(options).work().random(words, count, options, task)
        return Sentences(found, f"random words, as there is no test set ({reason})")


def _of_data(state: dict[str, Any], folder: str) -> Sentences:
    if not os.path.isdir(folder):
        raise BadInput(f"data folder {folder}: does not exist")
    load_dictionaries(state, folder)  # refuses the dictionaries of another model
    options = model_options(state)
    found = known_family(options).work().test_set(DataFolder.of(state, folder, REMEDY), options)
    return Sentences(found, f"test set of {folder}")


def _of_text(state: dict[str, Any], text: str, data: str | None) -> Sentences:
    if not os.path.isfile(text):
        raise BadInput(f"--text {text}: does not exist")
    numbers = {word: number for number, word in enumerate(load_dictionaries(state, data).source)}
    try:
        with open(text, encoding="utf-8") as file:
            lines = [[numbers.get(word, UNKNOWN) for word in line.split()] for line in file]
    except UnicodeDecodeError as error:
        raise BadInput(f"--text {text}: is not UTF-8 ({error.reason} at byte {error.start})") from error
    options = model_options(state)
    return Sentences(known_family(options).work().of_lines(lines, options, task_options(state)), text)
