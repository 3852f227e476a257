"""`IndexError: index out of range in self` amid a training (on a GPU: a failed assertion): data of another dictionary

Where: `fairseq.data.data_utils.load_indexed_dataset` takes the numbers of the words as they come. When: always. The
highest of them is compared with the dictionary when the data are opened, which reads them once in any case.
"""

import functools

from .bad_checkpoint import WrongUse


def mend(data_utils):
    data_utils.load_indexed_dataset = with_known_words(data_utils.load_indexed_dataset)


def with_known_words(load_indexed_dataset):
    @functools.wraps(load_indexed_dataset)
    def wrapper(path, dictionary=None, *args, **kwargs):
        dataset = load_indexed_dataset(path, dictionary, *args, **kwargs)
        if dictionary is not None and dataset is not None:
            for part in getattr(dataset, "datasets", [dataset]):
                refuse_unknown_words(part, len(dictionary))
        return dataset

    return wrapper


def refuse_unknown_words(dataset, types):
    name, words = _words(dataset)
    if words is not None and not (words.min() >= 0 and words.max() < types):
        raise WrongUse(
            f"{name} has a word number {words.max()}, the dictionary has {types} words: the data are damaged or of "
            "another dictionary; give the folder as fairseq-preprocess left it, with its dict.*.txt"
        )


def _words(dataset):
    """Name of the data file, and all numbers in it."""
    import numpy
    from fairseq.data import indexed_dataset

    if isinstance(dataset, indexed_dataset.MMapIndexedDataset):
        name = indexed_dataset.data_file_path(dataset._path)
        return name, numpy.memmap(name, dtype=dataset._index.dtype, mode="r")
    if isinstance(dataset, indexed_dataset.IndexedDataset):
        name = indexed_dataset.data_file_path(dataset.path)
        return name, numpy.memmap(name, dtype=dataset.dtype, mode="r") - int(dataset.fix_lua_indexing)
    return None, None
