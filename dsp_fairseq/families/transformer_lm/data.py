"""The dictionary and the text of the data folder of a language model."""

import os
from argparse import Namespace
from collections.abc import Mapping
from glob import escape, glob

from fairseq.data import Dictionary, MonolingualDataset
from fairseq.tasks.language_modeling import LanguageModelingConfig, LanguageModelingTask
from torch import Tensor

from ...errors import BadInput
from ..data import PREPROCESSED, DataFolder, WordsOf, named_folder_problems, read_dictionary

_DEFAULTS = {"dataset_impl": None, "use_plasma_view": False, "batch_size": None, "batch_size_valid": None, "seed": 1}
_CUTTING = ("tokens_per_sample", "sample_break_mode", "add_bos_token", "shorten_method", "shorten_data_split_list")


def words_of(weights: Mapping[str, Tensor]) -> int:
    """Number of words of the dictionary, which the rows of the embeddings tell; those of adaptive input have bands."""
    rows = weights.get("decoder.embed_tokens.weight")
    if rows is not None:
        return len(rows)
    prefix, bands = "decoder.embed_tokens.embeddings.", 0
    while f"{prefix}{bands}.0.weight" in weights:
        bands += 1
    return sum(len(weights[f"{prefix}{band}.0.weight"]) for band in range(bands))


def words_out_of(weights: Mapping[str, Tensor]) -> int:
    """Number of words that the model predicts: fewer than it reads with --output-dictionary-size."""
    rows = weights.get("decoder.output_projection.weight", weights.get("decoder.embed_out"))
    return words_of(weights) if rows is None else len(rows)


def folder_problems(options: Namespace) -> list[str]:
    """Why the data folder of a training cannot be read, one line each."""
    problems, folder = named_folder_problems(options)
    if folder is not None and not os.path.isfile(os.path.join(folder, "dict.txt")):
        problems = [f"data folder {folder}: has no dict.txt; {PREPROCESSED}, with --only-source"]
    return problems


def dictionary(data: DataFolder) -> WordsOf:
    """The dictionary; raises BadInput when it is missing or does not fit the weights."""
    return read_dictionary(os.path.join(data.path, "dict.txt"), "decoder", words_of(data.weights), data.remedy)


def dataset(data: DataFolder, subset: str) -> MonolingualDataset:
    """A subset, cut into samples as the training cut its text; raises BadInput when it is missing."""
    words: Dictionary = dictionary(data).dictionary
    cutting = {name: getattr(data.task, name, None) for name in _CUTTING}
    given = {name: value for name, value in cutting.items() if value is not None}
    config = LanguageModelingConfig(**{"data": data.path, **_DEFAULTS, **given})
    task = LanguageModelingTask(config, words)
    try:
        task.load_dataset(subset)
    except FileNotFoundError as error:
        names = sorted(os.path.basename(file)[:-4] for file in glob(os.path.join(escape(data.path), "*.idx")))
        remedy = f"choose one of {', '.join(names)}" if names else data.remedy
        raise BadInput(f"--subset {subset}: data folder {data.path} has none; {remedy}") from error
    return task.datasets[subset]
