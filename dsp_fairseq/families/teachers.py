"""What keeps a trained model from teaching another one, whatever its family: other words."""

import os
from argparse import Namespace
from collections.abc import Mapping, Sequence
from typing import Any

from .data import DataFolder, WordsOf, task_options

REMEDY = "give a teacher that was trained with the same dictionaries"


def first_folder(task: Namespace) -> str:
    """The first data folder of a training; empty when its options name none."""
    return (getattr(task, "data", None) or "").split(os.pathsep)[0]


def data_folders(options: Namespace, state: Mapping[str, Any]) -> tuple[DataFolder, DataFolder]:
    """The data of a training with these options, and those that the teacher, a loaded checkpoint, was trained on."""
    of_teacher = task_options(state)
    return (
        DataFolder(first_folder(options), options, state["model"], REMEDY),
        DataFolder(first_folder(of_teacher), of_teacher, state["model"], REMEDY),
    )


def different_words(path: str, words: Sequence[WordsOf], own_words: Sequence[WordsOf]) -> list[str]:
    """A line for each dictionary of the teacher ``path`` that has another word in some row than the training's own."""
    problems = []
    for (file, known), (own_file, own) in zip(words, own_words, strict=True):
        differing = [i for i, pair in enumerate(zip(known.symbols, own.symbols, strict=True)) if pair[0] != pair[1]]
        if differing:
            i = differing[0]
            problems.append(
                f"--teacher {path}: word {i} of its dictionary {file} is {known.symbols[i]!r}, but "
                f"{own.symbols[i]!r} in {own_file}; {REMEDY}"
            )
    return problems
