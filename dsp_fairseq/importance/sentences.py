"""Samples of a data folder that fairseq-preprocess wrote, in batches."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from fairseq.data import FairseqDataset
from fairseq.data.data_utils import batch_by_size

from ..checkpoints.multilingual import multilingual_problems
from ..checkpoints.reading import model_options
from ..errors import BadInput, refuse
from ..families import known_family
from ..families.data import DataFolder
from .settings import REMEDY


class Sentences(NamedTuple):
    """Batches of a data set, each collated when it is needed."""

    dataset: FairseqDataset
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
    """The sentences of a subset that the model of a checkpoint can read; the first ``count`` in a random order.

    Raises BadInput when there are none, or when they are not in the checkpoint's words.
    """
    refuse(multilingual_problems(state, "importance by gradient (choose --score magnitude) cannot read its data"))
    options = model_options(state)
    family = known_family(options)
    dataset = family.dataset(DataFolder.of(state, folder, REMEDY), subset)
    indices, too_long = dataset.filter_indices_by_size(np.arange(len(dataset)), family.max_positions(options))
    if not len(indices):
        raise BadInput(f"data folder {folder}: the model could read none of the {len(dataset)} sentences of {subset}")
    longest = int(dataset.num_tokens_vec(indices).max())
    if longest > max_tokens:
        raise BadInput(f"--max-tokens {max_tokens}: {subset} has a sentence of {longest}; say at least that")
    if count is not None:
        indices = indices[_random_order(len(indices), seed)[:count]]
    return Sentences(dataset, _batches(dataset, indices, max_tokens), len(too_long))


def _random_order(size: int, seed: int) -> np.ndarray:
    return torch.randperm(size, generator=torch.Generator().manual_seed(seed)).numpy()


def _batches(dataset: FairseqDataset, indices: np.ndarray, max_tokens: int) -> list[np.ndarray]:
    """Sentences of similar length together, at most ``max_tokens`` of the longer language in a batch, with padding."""
    sizes = dataset.num_tokens_vec(indices).astype(np.int64)
    order = np.lexsort((indices, sizes))
    return batch_by_size(indices[order], dataset.num_tokens, sizes[order], max_tokens)
