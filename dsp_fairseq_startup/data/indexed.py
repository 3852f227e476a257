"""Binarised data: damaged `.bin` and `.idx` files are refused, and every `--dataset-impl` reads what was written.

fairseq trusts the offsets of `PREFIX.idx` and never compares them with the size of `PREFIX.bin`: data that are
truncated or mixed up are tracebacks, or sentences of garbage. Both files are laid out without gaps, so that their sizes
tell.
"""

import os

from ..errors import WrongUse
from ..mending import around

AGAIN = "copy both again, or make them anew with fairseq-preprocess"
VERSION = 1
LAYOUTS = {b"MMIDIDX\0": "mmap", b"TNTIDX\0\0": "lazy"}  # what the index begins with -> kind of data
FITTING = {"mmap": ("mmap",), "lazy": ("lazy", "cached")}  # kind -> values of --dataset-impl


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
    from fairseq.data.indexed_dataset import _code_to_dtype as types

    index, data = f"{path}.idx", f"{path}.bin"
    with open(index, "rb") as file:
        kind = LAYOUTS.get(file.read(8))
    if kind is None:
        what = "is empty" if os.path.getsize(index) == 0 else "is no index of fairseq-preprocess"
        raise WrongUse(f"{index} {what}; {AGAIN}")
    if impl not in FITTING[kind]:
        made = " or ".join(FITTING[kind])
        raise WrongUse(f"--dataset-impl {impl}: {index} was made with {made}; leave the option out")
    expected = _data_size_by_mmap(index, types) if kind == "mmap" else _data_size_by_lazy(index, types)
    if expected is None:
        raise WrongUse(f"{index} is damaged, its size or its offsets are wrong; {AGAIN}")
    if expected == 0:
        raise WrongUse(f"{index} holds no sentence, it was made from an empty text")
    if expected != os.path.getsize(data):
        raise WrongUse(
            f"{data} has {os.path.getsize(data):,} bytes where {index} has {expected:,}: one of them is truncated or"
            f" belongs to other data; {AGAIN}"
        )


def _data_size_by_mmap(index, types):
    """Bytes of the data file, or None if the index is damaged.

    The index has magic, version, type, number of sentences; lengths of the sentences; offsets of the sentences.
    """
    import numpy

    header = _read(index, "uint8", 26)
    if header is None or header[8] or header[9:17].view("<u8")[0] != VERSION or int(header[17]) not in types:
        return None
    width = numpy.dtype(types[int(header[17])]).itemsize
    count = int(header[18:].view("<u8")[0])
    if os.path.getsize(index) != 26 + 12 * count:
        return None
    sizes = _read(index, "<i4", count, 26)
    ends = numpy.cumsum(sizes, dtype="int64") * width
    starts = _read(index, "<i8", count, 26 + 4 * count)
    if (sizes < 0).any() or not numpy.array_equal(starts, ends - sizes * width):
        return None
    return int(ends[-1]) if count else 0


def _data_size_by_lazy(index, types):
    """Bytes of the data file, or None if the index is damaged.

    The index has magic, version, type, width, numbers of sentences and of dimensions; offsets of both; the lengths.
    """
    import numpy

    header = _read(index, "<u8", 6)
    if header is None:
        return None
    version, code, width, count, lengths = map(int, header[1:])
    if version != VERSION or code not in types or numpy.dtype(types[code]).itemsize != width:
        return None
    if os.path.getsize(index) != 48 + 8 * (2 * (count + 1) + lengths):
        return None
    dimensions, starts = (_read(index, "<i8", count + 1, 48 + part * 8 * (count + 1)) for part in (0, 1))
    sizes = _read(index, "<i8", lengths, 48 + 16 * (count + 1))
    if lengths == count:  # sentences, no tensors of more dimensions
        same = numpy.array_equal
        if not same(numpy.diff(starts), sizes) or not same(dimensions, numpy.arange(count + 1)):
            return None
    return None if starts[0] or (numpy.diff(starts) < 0).any() else int(starts[-1]) * width


def _read(name, dtype, count, offset=0):
    import numpy

    values = numpy.fromfile(name, dtype=dtype, count=count, offset=offset)
    return values if len(values) == count else None


@around("fairseq.data.indexed_dataset:IndexedCachedDataset.__getitem__")
def read_before_the_cache_is_filled(read_cache, self, i):
    """`KeyError: 21` with `--dataset-impl cached`: the first batch is read before anything is in the cache."""
    from fairseq.data.indexed_dataset import IndexedDataset

    return read_cache(self, i) if i in self.cache_index else IndexedDataset.__getitem__(self, i)


@around("fairseq.data.indexed_dataset:IndexedDataset.__getitem__")
def open_in_each_process(read, self, i):
    """Other sentences with `--dataset-impl lazy` and `--num-workers` > 1: processes share a file and its position."""
    if self.data_file and getattr(self, "_opened_by", None) != os.getpid():
        self.data_file = None  # the parent's file, which stays open there
    if not self.data_file:
        self.read_data(self.path)
        self._opened_by = os.getpid()
    return read(self, i)
