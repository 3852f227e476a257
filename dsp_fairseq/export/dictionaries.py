"""The words of both languages, from the data folder of a checkpoint."""

import os
from argparse import Namespace
from glob import escape, glob
from typing import Any, NamedTuple

from fairseq.data import Dictionary
from fairseq.data.data_utils import infer_language_pair

from ..errors import BadInput, refuse

BLANK = "<blank>"  # CTranslate2's name of <pad>
REMEDY = "give the folder that fairseq-preprocess wrote with --data DIR"


class Dictionaries(NamedTuple):
    """Words in the order of the embeddings' rows, as fairseq writes them."""

    source: list[str]
    target: list[str]


def load_dictionaries(state: dict[str, Any], data: str | None = None) -> Dictionaries:
    """The dictionaries that a checkpoint was trained with, from ``data`` or the folder that it names.

    Raises BadInput when they are not there, or have another number of words than the embeddings have rows.
    """
    task = _task_options(state)
    folder = data or (getattr(task, "data", None) or "(none)").split(os.pathsep)[0]
    if not os.path.isdir(folder):
        named = "--data" if data else "data folder"
        raise BadInput(f"{named} {folder}: does not exist; {REMEDY}")
    problems, words = [], []
    for stack, path in zip(("encoder", "decoder"), _paths(task, folder), strict=True):
        try:
            words.append(_load(path, stack, len(state["model"][f"{stack}.embed_tokens.weight"])))
        except BadInput as error:
            problems.append(str(error))
    refuse(problems)
    return Dictionaries(*words)


def _task_options(state: dict[str, Any]) -> Namespace:
    options = state["cfg"]["task"] if state.get("cfg") else state["args"]
    return Namespace(**options) if isinstance(options, dict) else options


def _paths(task: Namespace, folder: str) -> tuple[str, str]:
    """The files of the source and of the target dictionary."""
    languages = [getattr(task, f"{side}_lang", None) for side in ("source", "target")]
    if None in languages:  # fairseq-train was not told them, and found them like this
        languages = infer_language_pair(folder)
    if None not in languages:
        source, target = (os.path.join(folder, f"dict.{language}.txt") for language in languages)
        return source, target
    found = sorted(glob(os.path.join(escape(folder), "dict.*.txt")))
    if len(found) == 2 and _content(found[0]) == _content(found[1]):  # then it does not matter which is which
        return found[0], found[1]
    raise BadInput(
        f"data folder {folder}: does not tell the languages (it has no file like train.SRC-TGT.SRC.idx); {REMEDY}"
    )


def _content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _load(path: str, stack: str, rows: int) -> list[str]:
    if not os.path.isfile(path):
        raise BadInput(f"dictionary {path}: does not exist; {REMEDY}")
    try:
        symbols = Dictionary.load(path).symbols
    except Exception as error:  # so bare does fairseq raise it for bytes that are not UTF-8
        raise BadInput(f"dictionary {path}: {str(error).splitlines()[0]}; {REMEDY}") from error
    if len(symbols) != rows:
        raise BadInput(
            f"dictionary {path}: has {len(symbols)} words, but the {stack} of the checkpoint has {rows}; {REMEDY}"
        )
    if len({*symbols, BLANK}) <= len(symbols):  # fairseq takes the last of two, CTranslate2 the first
        raise BadInput(f"dictionary {path}: has a word twice, or the word {BLANK}; CTranslate2 would mix them up")
    return symbols
