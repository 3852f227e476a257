"""The data folder that a checkpoint was trained on, and the dictionaries in it."""

import os
from argparse import Namespace
from collections.abc import Mapping
from typing import Any, NamedTuple

from fairseq.data import Dictionary
from torch import Tensor

from ..errors import BadInput

# numbers of words in every dictionary of fairseq: <s>, then these, then the words of the data
PAD, END, UNKNOWN, FIRST_WORD = 1, 2, 3, 4
BLANK = "<blank>"  # CTranslate2's name of <pad>

PREPROCESSED = "give the folder that fairseq-preprocess wrote (its --destdir)"


def named_folder_problems(options: Namespace) -> tuple[list[str], str | None]:
    """Lines for the data folders of a training that do not exist, and the first folder if there are none."""
    folders = [path for path in (options.data or "").split(os.pathsep) if path]
    missing = [path for path in folders if not os.path.isdir(path)]
    if missing or not folders:
        return [f"data folder {path}: does not exist; {PREPROCESSED}" for path in missing or ["(none)"]], None
    return [], folders[0]


class DataFolder(NamedTuple):
    """A folder that fairseq-preprocess wrote, and what a checkpoint says of it."""

    path: str
    task: Namespace  # options of the task that the checkpoint was trained on
    weights: Mapping[str, Tensor]  # state dict of the checkpoint
    remedy: str  # what the user can do when the folder does not fit the checkpoint; ends messages

    @classmethod
    def of(cls, state: Mapping[str, Any], path: str, remedy: str) -> "DataFolder":
        """The folder ``path`` for a loaded checkpoint."""
        return cls(path, task_options(state), state["model"], remedy)


class WordsOf(NamedTuple):
    """A dictionary and its file."""

    path: str
    dictionary: Dictionary


def task_options(state: Mapping[str, Any]) -> Namespace:
    """Options of the task that a loaded checkpoint was trained on."""
    options = (state["cfg"].get("task") or {}) if state.get("cfg") else state["args"]
    return Namespace(**options) if isinstance(options, Mapping) else options


def read_dictionary(path: str, part: str, rows: int, remedy: str) -> WordsOf:
    """The dictionary in a file.

    Raises BadInput when it cannot be read, or has not as many words as the embeddings of ``part`` have rows.
    """
    if not os.path.isfile(path):
        raise BadInput(f"dictionary {path}: does not exist; {remedy}")
    try:
        dictionary = Dictionary.load(path)
    except Exception as error:  # fairseq raises a bare Exception for bytes that are not UTF-8
        raise BadInput(f"dictionary {path}: {str(error).splitlines()[0]}; {remedy}") from error
    if len(dictionary) != rows:
        raise BadInput(
            f"dictionary {path}: has {len(dictionary)} words, but the {part} of the checkpoint has {rows}; {remedy}"
        )
    return WordsOf(path, dictionary)
