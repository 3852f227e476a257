"""Refuses dictionaries that are damaged or do not belong to the data, with the name of the file in the message."""

from ..errors import WrongUse
from ..mending import around


@around("fairseq.data.dictionary:Dictionary.add_from_file")
def name_the_dictionary(add_from_file, self, f):
    """Without this mend, `Incorrect dictionary format` and `Duplicate word found` do not name the file."""
    try:
        return add_from_file(self, f)
    except OSError:
        raise
    except Exception as error:  # fairseq raises three kinds here
        if not isinstance(f, str):
            raise
        what = " ".join(str(error).partition(". ")[0].split())  # the message may quote a line with its line feed
        raise WrongUse(
            f"dictionary {f} is damaged ({what}); copy it again, or make it anew with fairseq-preprocess"
        ) from error


@around("fairseq.data.data_utils:load_indexed_dataset")
def check_words(load_indexed_dataset, path, dictionary=None, *args, **kwargs):
    """`IndexError: index out of range in self` during a training (on a GPU a failed assertion), or wrong words.

    fairseq does not check the word indices in the data. Here the largest one is compared with the size of the
    dictionary when the data are opened, which reads all data once.
    """
    dataset = load_indexed_dataset(path, dictionary, *args, **kwargs)
    if dictionary is not None and dataset is not None:
        for part in getattr(dataset, "datasets", [dataset]):
            refuse_unknown_words(part, len(dictionary))
    return dataset


def refuse_unknown_words(dataset, types):
    name, words = _words(dataset)
    if words is not None and not (words.min() >= 0 and words.max() < types):
        raise WrongUse(
            f"{name} has a word number {words.max()}, the dictionary has {types} words: the data are damaged or of "
            "another dictionary; give the folder as fairseq-preprocess left it, with its dict.*.txt"
        )


def _words(dataset):
    """The name of the data file, and the indices of all words in it; (None, None) for other kinds of data."""
    import numpy
    from fairseq.data import indexed_dataset

    if isinstance(dataset, indexed_dataset.MMapIndexedDataset):
        name = indexed_dataset.data_file_path(dataset._path)
        return name, numpy.memmap(name, dtype=dataset._index.dtype, mode="r")
    if isinstance(dataset, indexed_dataset.IndexedDataset):
        name = indexed_dataset.data_file_path(dataset.path)
        return name, numpy.memmap(name, dtype=dataset.dtype, mode="r") - int(dataset.fix_lua_indexing)
    return None, None
