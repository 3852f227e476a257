"""Tracebacks, or sentences of garbage, from a truncated or exchanged `.bin` or `.idx`

Where: `fairseq.data.indexed_dataset` trusts the offsets of `PREFIX.idx` and never compares them with the size of
`PREFIX.bin`. When: always. Both files are laid out without gaps, so their sizes tell.
"""

import functools
import os

from .bad_checkpoint import WrongUse

AGAIN = "copy both again, or make them anew with fairseq-preprocess"
VERSION = 1
LAYOUTS = {b"MMIDIDX\0": "mmap", b"TNTIDX\0\0": "lazy"}  # what the index begins with -> kind of data
FITTING = {"mmap": ("mmap",), "lazy": ("lazy", "cached")}  # kind -> values of --dataset-impl


def mend(indexed_dataset):
    exists, make = indexed_dataset.dataset_exists, indexed_dataset.make_dataset
    indexed_dataset.dataset_exists = with_both_files(exists)
    indexed_dataset.make_dataset = with_whole_files(make, indexed_dataset)


def with_both_files(dataset_exists):
    @functools.wraps(dataset_exists)
    def wrapper(path, impl):
        if dataset_exists(path, impl):
            return True
        there = [name for name in (f"{path}.idx", f"{path}.bin") if os.path.exists(name)]
        if len(there) == 1:
            missing = path + {".idx": ".bin", ".bin": ".idx"}[there[0][-4:]]
            raise WrongUse(f"{missing} is missing beside {there[0]}; {AGAIN}")
        return False

    return wrapper


def with_whole_files(make_dataset, indexed_dataset):
    @functools.wraps(make_dataset)
    def wrapper(path, impl, *args, **kwargs):
        if impl in ("mmap", "lazy", "cached") and os.path.exists(f"{path}.idx") and os.path.exists(f"{path}.bin"):
            refuse_damage(path, impl, indexed_dataset)
        return make_dataset(path, impl, *args, **kwargs)

    return wrapper


def refuse_damage(path, impl, indexed_dataset):
    index, data = f"{path}.idx", f"{path}.bin"
    with open(index, "rb") as file:
        kind = LAYOUTS.get(file.read(8))
    if kind is None:
        what = "is empty" if os.path.getsize(index) == 0 else "is no index of fairseq-preprocess"
        raise WrongUse(f"{index} {what}; {AGAIN}")
    if impl not in FITTING[kind]:
        made = " or ".join(FITTING[kind])
        raise WrongUse(f"--dataset-impl {impl}: {index} was made with {made}; leave the option out")
    expected = {"mmap": _expected_by_mmap, "lazy": _expected_by_lazy}[kind](index, indexed_dataset._code_to_dtype)
    if expected is None:
        raise WrongUse(f"{index} is damaged, its size or its offsets are wrong; {AGAIN}")
    if expected == 0:
        raise WrongUse(f"{index} holds no sentence, it was made from an empty text")
    if expected != os.path.getsize(data):
        raise WrongUse(
            f"{data} has {os.path.getsize(data):,} bytes where {index} has {expected:,}: one of them is truncated or"
            f" belongs to other data; {AGAIN}"
        )


def _expected_by_mmap(index, types):
    """Bytes of the data file. The index: magic, version, type, number of sentences; their lengths; where they begin."""
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


def _expected_by_lazy(index, types):
    """The same. Magic, version, type, width, numbers of sentences and dimensions; where both begin; the lengths."""
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
