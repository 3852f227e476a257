"""The words that an exported model reads and writes, from the data folder of a checkpoint."""

import os
from typing import Any, NamedTuple

from ..checkpoints.reading import model_options
from ..errors import BadInput, refuse
from ..families import known_family
from ..families.data import BLANK, DataFolder, task_options

REMEDY = "give the folder that fairseq-preprocess wrote with --data DIR"


class Dictionaries(NamedTuple):
    """Words in the order of the embeddings' rows, with fairseq's names."""

    source: list[str]
    target: list[str]


def load_dictionaries(state: dict[str, Any], data: str | None = None) -> Dictionaries:
    """The dictionaries that a checkpoint was trained with, from ``data`` or the folder that it names.

    Raises BadInput when they are not there, or have another number of words than the embeddings have rows.
    """
    folder = data or (getattr(task_options(state), "data", None) or "(none)").split(os.pathsep)[0]
    if not os.path.isdir(folder):
        named = "--data" if data else "data folder"
        raise BadInput(f"{named} {folder}: does not exist; {REMEDY}")
    found = known_family(model_options(state)).dictionaries(DataFolder.of(state, folder, REMEDY))
    refuse(
        f"dictionary {path}: has a word twice, or the word {BLANK}; CTranslate2 would mix them up"
        for path, words in found
        if len({*words.symbols, BLANK}) <= len(words.symbols)  # fairseq takes the last of two, CTranslate2 the first
    )
    source, target = (words.symbols for _, words in found)
    return Dictionaries(source, target)


def named_for_ctranslate2(words: list[str]) -> list[str]:
    """The same words, the padding with CTranslate2's name."""
    return [BLANK if word == "<pad>" else word for word in words]
