"""Sentence pairs of a folder that fairseq-preprocess wrote, in batches."""

import os
from argparse import Namespace
from collections.abc import Iterator
from glob import escape, glob
from typing import Any, NamedTuple

import numpy as np
import torch
from fairseq.data import Dictionary, LanguagePairDataset
from fairseq.data.data_utils import batch_by_size, infer_language_pair
from fairseq.models.transformer import DEFAULT_MAX_SOURCE_POSITIONS, DEFAULT_MAX_TARGET_POSITIONS
from fairseq.tasks.translation import load_langpair_dataset

from ..checkpoints.multilingual import multilingual_problems
from ..checkpoints.reading import model_options
from ..errors import BadInput, refuse
from .settings import REMEDY


class Sentences(NamedTuple):
    """Batches of a data set, collated as they are asked for."""

    dataset: LanguagePairDataset
    batches: list[np.ndarray]  # of indices
    too_long: int  # sentences of the data set that the model cannot read

    def __len__(self) -> int:
        return sum(map(len, self.batches))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for batch in self.batches:
            yield self.dataset.collater([self.dataset[index] for index in batch])


def load_sentences(
    state: dict[str, Any], folder: str, subset: str, count: int | None, max_tokens: int, seed: int
) -> Sentences:
    """The pairs of a subset that the model of a checkpoint can read; the first ``count`` in a random order.

    Raises BadInput when there are none, or when they are not in the checkpoint's words.
    """
    refuse(multilingual_problems(state, "importance by gradient (choose --score magnitude) cannot read its data"))
    dataset, options = _load_dataset(state, folder, subset), model_options(state)
    most_source = getattr(options, "max_source_positions", None) or DEFAULT_MAX_SOURCE_POSITIONS
    most_target = getattr(options, "max_target_positions", None) or DEFAULT_MAX_TARGET_POSITIONS
    fits = (dataset.src_sizes <= most_source) & (dataset.tgt_sizes <= most_target)
    indices = np.flatnonzero(fits)
    if not len(indices):
        raise BadInput(f"data folder {folder}: the model could read none of the {len(dataset)} sentences of {subset}")
    longest = int(dataset.num_tokens_vec(indices).max())
    if longest > max_tokens:
        raise BadInput(f"--max-tokens {max_tokens}: {subset} has a sentence of {longest}; say at least that")
    if count is not None:
        indices = indices[_random_order(len(indices), seed)[:count]]
    return Sentences(dataset, _batches(dataset, indices, max_tokens), int((~fits).sum()))


def _random_order(size: int, seed: int) -> np.ndarray:
    return torch.randperm(size, generator=torch.Generator().manual_seed(seed)).numpy()


def _batches(dataset: LanguagePairDataset, indices: np.ndarray, max_tokens: int) -> list[np.ndarray]:
    """Sentences of like length together, at most ``max_tokens`` in the longer language, padding counted."""
    sizes = dataset.num_tokens_vec(indices).astype(np.int64)
    order = np.lexsort((indices, sizes))
    return batch_by_size(indices[order], dataset.num_tokens, sizes[order], max_tokens)


def _load_dataset(state: dict[str, Any], folder: str, subset: str) -> LanguagePairDataset:
    source, target = _languages(state, folder)
    source_words, target_words = _dictionaries(state, folder, (source, target))
    try:
        dataset = load_langpair_dataset(
            folder,
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
            max_source_positions=None,  # read only to cut sentences, which is not asked for here
            max_target_positions=None,
            shuffle=False,
        )
    except FileNotFoundError as error:
        remedy = _subsets(folder, source, target)
        raise BadInput(f"--subset {subset}: data folder {folder} has none; {remedy}") from error
    if dataset.tgt is None:
        raise BadInput(f"--subset {subset}: data folder {folder} has no {target} of it; the loss needs references")
    return dataset


def _languages(state: dict[str, Any], folder: str) -> tuple[str, str]:
    """Those of the training, else those in the names of the files, as fairseq finds them."""
    task = (state.get("cfg") or {}).get("task") or {}
    task = vars(task) if isinstance(task, Namespace) else task
    languages: list[Any] = [task.get(f"{side}_lang") for side in ("source", "target")]
    if None in languages:
        languages = infer_language_pair(folder)
    if None in languages:
        raise BadInput(f"data folder {folder}: has no file like valid.SRC-TGT.SRC.idx; {REMEDY}")
    source, target = languages
    return source, target


def _subsets(folder: str, source: str, target: str) -> str:
    """What could be given as ``--subset``."""
    found: set[str] = set()
    for pair in (f"{source}-{target}", f"{target}-{source}"):
        names = glob(os.path.join(escape(folder), f"*.{pair}.{source}.idx"))
        found.update(os.path.basename(name).split(f".{pair}.")[0] for name in names)
    return f"choose one of {', '.join(sorted(found))}" if found else REMEDY


def _dictionaries(state: dict[str, Any], folder: str, languages: tuple[str, str]) -> list[Dictionary]:
    """Raises BadInput when they are not there, or are not those of the embeddings."""
    problems, dictionaries = [], []
    for stack, language in zip(("encoder", "decoder"), languages, strict=True):
        path = os.path.join(folder, f"dict.{language}.txt")
        rows = len(state["model"][f"{stack}.embed_tokens.weight"])
        try:
            dictionaries.append(_dictionary(path, stack, rows))
        except BadInput as problem:
            problems.append(str(problem))
    refuse(problems)
    return dictionaries


def _dictionary(path: str, stack: str, rows: int) -> Dictionary:
    if not os.path.isfile(path):
        raise BadInput(f"dictionary {path}: does not exist; {REMEDY}")
    try:
        words = Dictionary.load(path)
    except Exception as error:  # so bare does fairseq raise it for bytes that are not UTF-8
        raise BadInput(f"dictionary {path}: {str(error).splitlines()[0]}; {REMEDY}") from error
    if len(words) != rows:
        raise BadInput(f"dictionary {path}: has {len(words)} words, but the {stack} of the checkpoint {rows}; {REMEDY}")
    return words
