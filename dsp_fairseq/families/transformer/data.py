"""Dictionaries and sentence pairs of the data folder of a translation."""

import os
from argparse import Namespace
from glob import escape, glob

from fairseq.data import LanguagePairDataset
from fairseq.data.data_utils import infer_language_pair
from fairseq.tasks.translation import load_langpair_dataset

from ...errors import BadInput, refuse
from ..data import PREPROCESSED, DataFolder, WordsOf, named_folder_problems, read_dictionary
from .words import STACKS


def folder_problems(options: Namespace) -> list[str]:
    """Why the data folder of a training cannot be read, one line each."""
    problems, folder = named_folder_problems(options)
    if folder is None:
        return problems
    languages = [getattr(options, side, None) for side in ("source_lang", "target_lang")]
    if None in languages:
        found = sorted(glob(os.path.join(escape(folder), "dict.*.txt")))
        return (
            []
            if len(found) >= 2
            else [f"data folder {folder}: {len(found)} dictionaries (dict.LANG.txt) found, 2 needed; {PREPROCESSED}"]
        )
    names = [os.path.join(folder, f"dict.{language}.txt") for language in languages]
    return [f"dictionary {name}: does not exist; {PREPROCESSED}" for name in names if not os.path.isfile(name)]


def dictionaries(data: DataFolder) -> list[WordsOf]:
    """The dictionaries of source and target; raises BadInput with a line for each that does not fit the weights."""
    problems, found = [], []
    for stack, path in zip(STACKS, _paths(data), strict=True):
        try:
            rows = len(data.weights[f"{stack}.embed_tokens.weight"])
            found.append(read_dictionary(path, stack, rows, data.remedy))
        except BadInput as error:
            problems.append(str(error))
    refuse(problems)
    return found


def _paths(data: DataFolder) -> list[str]:
    """The files of the source and of the target dictionary."""
    languages = languages_of(data)
    if languages is not None:
        return [os.path.join(data.path, f"dict.{language}.txt") for language in languages]
    found = sorted(glob(os.path.join(escape(data.path), "dict.*.txt")))
    if len(found) == 2 and _content(found[0]) == _content(found[1]):  # either may be the source
        return found
    raise BadInput(
        f"data folder {data.path}: does not tell the languages (it has no file like train.SRC-TGT.SRC.idx); "
        f"{data.remedy}"
    )


def languages_of(data: DataFolder) -> tuple[str, str] | None:
    """Source and target language of the training; if it was not told them, those in the names of the files; or None."""
    source, target = (getattr(data.task, f"{side}_lang", None) for side in ("source", "target"))
    if source is None or target is None:
        source, target = infer_language_pair(data.path)
    return None if source is None or target is None else (source, target)


def _content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def dataset(data: DataFolder, subset: str) -> LanguagePairDataset:
    """The sentence pairs of a subset; raises BadInput when they are missing or their dictionaries do not fit."""
    languages = languages_of(data)
    if languages is None:
        raise BadInput(f"data folder {data.path}: has no file like valid.SRC-TGT.SRC.idx; {data.remedy}")
    source, target = languages
    source_words, target_words = (words.dictionary for words in dictionaries(data))
    try:
        found = load_langpair_dataset(
            data.path,
            subset,
            source,
            source_words,
            target,
            target_words,
            combine=False,
            dataset_impl=None,
            upsample_primary=1,
            left_pad_source=True,
            left_pad_target=False,
            max_source_positions=None,  # fairseq reads these two only to truncate sentences
            max_target_positions=None,
            shuffle=False,
        )
    except FileNotFoundError as error:
        remedy = _subsets(data, source, target)
        raise BadInput(f"--subset {subset}: data folder {data.path} has none; {remedy}") from error
    if found.tgt is None:
        raise BadInput(f"--subset {subset}: data folder {data.path} has no {target} of it; the loss needs references")
    return found


def _subsets(data: DataFolder, source: str, target: str) -> str:
    """The subsets that the folder has, as a remedy."""
    found: set[str] = set()
    for pair in (f"{source}-{target}", f"{target}-{source}"):
        names = glob(os.path.join(escape(data.path), f"*.{pair}.{source}.idx"))
        found.update(os.path.basename(name).split(f".{pair}.")[0] for name in names)
    return f"choose one of {', '.join(sorted(found))}" if found else data.remedy
