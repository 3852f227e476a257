"""Dictionaries that are damaged, or that are not those of the data: the message names the file."""

from ..errors import WrongUse
from ..mending import around


@around("fairseq.data.dictionary:Dictionary.add_from_file")
def name_the_dictionary(add_from_file, self, f):
    """A traceback without the file: `Incorrect dictionary format`, `Duplicate word found`."""
    try:
        return add_from_file(self, f)
    except OSError:
        raise
    except Exception as error:  # fairseq raises three kinds here
        if not isinstance(f, str):
            raise
        what = " ".join(str(error).partition(". ")[0].split())  # it may quote a line, with its end
        raise WrongUse(
            f"dictionary {f} is damaged ({what}); copy it again, or make it anew with fairseq-preprocess"
        ) from error


@around("fairseq.data.data_utils:load_indexed_dataset")
def check_words(load_indexed_dataset, path, dictionary=None, *args, **kwargs):
    """`IndexError: index out of range in self` amid a training (on a GPU: a failed assertion), or garbage.

    fairseq takes the numbers of words in the data as they come. The highest one is compared with the dictionary when
    the data are opened, which reads them once in any case.
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
    """Name of the data file, and the numbers of all words in it."""
    import numpy
    from fairseq.data import indexed_dataset

    if isinstance(dataset, indexed_dataset.MMapIndexedDataset):
        name = indexed_dataset.data_file_path(dataset._path)
        return name, numpy.memmap(name, dtype=dataset._index.dtype, mode="r")
    if isinstance(dataset, indexed_dataset.IndexedDataset):
        name = indexed_dataset.data_file_path(dataset.path)
        return name, numpy.memmap(name, dtype=dataset.dtype, mode="r") - int(dataset.fix_lua_indexing)
    return None, None
