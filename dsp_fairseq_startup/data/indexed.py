"""Binarised data: damaged `.bin` and `.idx` files are refused, and every `--dataset-impl` reads what was written.

fairseq trusts the offsets in `PREFIX.idx` and never compares them with the size of `PREFIX.bin`, so truncated or mixed
up data cause tracebacks, or give sentences of wrong words. The sentences in both files follow each other without gaps,
so the size of `PREFIX.bin` can be computed from `PREFIX.idx` and compared.
"""

import os
import struct

from ..errors import WrongUse
from ..mending import around

AGAIN = "copy both again, or make them anew with fairseq-preprocess"
VERSION = 1
LAYOUTS = {b"MMIDIDX\0": "mmap", b"TNTIDX\0\0": "lazy"}  # first 8 bytes of an index -> its layout
FITTING = {"mmap": ("mmap",), "lazy": ("lazy", "cached")}  # layout -> values of --dataset-impl that read it


@around("fairseq.data.indexed_dataset:dataset_exists")
def refuse_half(dataset_exists, path, impl):
    if dataset_exists(path, impl):
        return True
    there = [name for name in (f"{path}.idx", f"{path}.bin") if os.path.exists(name)]
    if len(there) == 1:
        missing = path + {".idx": ".bin", ".bin": ".idx"}[there[0][-4:]]
        raise WrongUse(f"{missing} is missing beside {there[0]}; {AGAIN}")
    return False


@around("fairseq.data.indexed_dataset:make_dataset")
def refuse_damage(make_dataset, path, impl, *args, **kwargs):
    if impl in ("mmap", "lazy", "cached") and os.path.exists(f"{path}.idx") and os.path.exists(f"{path}.bin"):
        check_sizes(path, impl)
    return make_dataset(path, impl, *args, **kwargs)


def check_sizes(path, impl):
    index, data = f"{path}.idx", f"{path}.bin"
    with open(index, "rb") as file:
        content = file.read()
    kind = LAYOUTS.get(content[:8])
    if kind is None:
        what = "is no index of fairseq-preprocess" if content else "is empty"
        raise WrongUse(f"{index} {what}; {AGAIN}")
    if impl not in FITTING[kind]:
        made = " or ".join(FITTING[kind])
        raise WrongUse(f"--dataset-impl {impl}: {index} was made with {made}; leave the option out")
    try:
        expected = _data_size_by_mmap(content) if kind == "mmap" else _data_size_by_lazy(content)
    except (struct.error, LookupError) as error:
        raise WrongUse(f"{index} is damaged, its size or its offsets are wrong; {AGAIN}") from error
    if expected == 0:
        raise WrongUse(f"{index} holds no sentence, it was made from an empty text")
    if expected != os.path.getsize(data):
        raise WrongUse(
            f"{data} has {os.path.getsize(data):,} bytes where {index} has {expected:,}: one of them is truncated or"
            f" belongs to other data; {AGAIN}"
        )


def _data_size_by_mmap(index):
    """The size in bytes that the data file of an mmap index must have; LookupError if the index contradicts itself.

    The index has magic bytes, version, code of the data type and number of sentences (26 bytes); the lengths of the
    sentences (4 bytes each); the offsets of the sentences (8 bytes each).
    """
    import numpy

    magic, version, code, count = struct.unpack_from("<9sQBQ", index)
    width = _width(code)
    _require(magic[8] == 0 and version == VERSION and len(index) == 26 + 12 * count)
    sizes = numpy.frombuffer(index, "<i4", count, 26)
    starts = numpy.frombuffer(index, "<i8", count, 26 + 4 * count)
    ends = numpy.cumsum(sizes, dtype="int64") * width
    _require((sizes >= 0).all() and numpy.array_equal(starts, ends - sizes * width))
    return int(ends[-1]) if count else 0


def _data_size_by_lazy(index):
    """The size in bytes that the data file of a lazy index must have; LookupError if the index contradicts itself.

    The index has magic bytes, version, code and width of the data type, number of sentences and number of dimensions
    (48 bytes); then the offsets of the dimensions, the offsets of the sentences and the lengths (8 bytes each).
    """
    import numpy

    _, version, code, width, count, lengths = struct.unpack_from("<8s5Q", index)
    _require(version == VERSION and width == _width(code) and len(index) == 48 + 8 * (2 * (count + 1) + lengths))
    numbers = numpy.frombuffer(index, "<i8", offset=48)
    dimensions, starts, sizes = numpy.split(numbers, [count + 1, 2 * (count + 1)])
    if lengths == count:  # every item has one dimension, so it is a sentence
        _require(numpy.array_equal(numpy.diff(starts), sizes) and numpy.array_equal(dimensions, range(count + 1)))
    _require(starts[0] == 0 and (numpy.diff(starts) >= 0).all())
    return int(starts[-1]) * width


def _width(code):
    import numpy
    from fairseq.data.indexed_dataset import _code_to_dtype

    return numpy.dtype(_code_to_dtype[code]).itemsize


def _require(condition):
    if not condition:
        raise LookupError


@around("fairseq.data.indexed_dataset:IndexedCachedDataset.__getitem__")
def read_before_the_cache_is_filled(read_cache, self, i):
    """`KeyError: 21` with `--dataset-impl cached`: fairseq reads the first batch before it has filled the cache."""
    from fairseq.data.indexed_dataset import IndexedDataset

    return read_cache(self, i) if i in self.cache_index else IndexedDataset.__getitem__(self, i)


@around("fairseq.data.indexed_dataset:IndexedDataset.__getitem__")
def open_in_each_process(read, self, i):
    """Without this mend, `--dataset-impl lazy` with `--num-workers` > 1 reads wrong sentences.

    The worker processes share an open file, and so its position.
    """
    if self.data_file and getattr(self, "_opened_by", None) != os.getpid():
        self.data_file = None  # forget the file of the parent process, where it stays open
    if not self.data_file:
        self.read_data(self.path)
        self._opened_by = os.getpid()
    return read(self, i)
