"""Finds checkpoints whose bytes have changed since they were written, or whose tensors claim more bytes than there are.

`torch.load` (2.11 and 2.13) compares no checksums, trusts the pickle in the file for the sizes of the tensors, and with
`mmap=True` takes compressed bytes for weights.
"""

import io
import os
import zipfile

from ..errors import shown
from . import safe_load

ZIP = b"PK\x03\x04"  # the first bytes of a file that torch reads as a zip archive


class Damaged(ValueError):
    """A checkpoint is damaged; the message says what is wrong with the file."""


def check_file(path):
    """Raise `Damaged` when a file is damaged; return whether its tensors can be mapped into memory."""
    if not is_zip(path):  # torch before 1.6 wrote no archives, and so no checksums
        return False
    with zipfile.ZipFile(path) as archive:
        members = {member.filename: member for member in archive.infolist()}
        if len(members) < len(archive.infolist()):
            raise Damaged("has a part twice")
        wrong = archive.testzip()
        if wrong:
            raise Damaged(f"{shown(wrong)} in it is not what was written (its checksum differs)")
        folder = next(iter(members)).partition("/")[0]
        claims = _storages(archive.read(f"{folder}/data.pkl"))
    for key, storage in claims.items():
        size = members[f"{folder}/data/{key}"].file_size
        if storage.nbytes() != size:
            raise Damaged(f"a tensor in it claims {storage.nbytes():,} bytes, where {size:,} are")
    return all(member.compress_type == zipfile.ZIP_STORED for member in members.values())


def is_zip(path):
    with open(path, "rb") as file:
        return file.read(len(ZIP)) == ZIP


def _storages(pickled):
    """The storages of the tensors in a pickle, by key, on the meta device, where they have sizes but use no memory.

    A storage that is too small for a tensor grows when torch makes that tensor from it.
    """
    import torch
    from torch import _weights_only_unpickler

    storages = {}

    def load_storage(saved):
        _, kind, key, _, count = saved
        dtype = torch.uint8 if kind is torch.UntypedStorage else kind.dtype
        if key not in storages:
            storages[key] = torch.UntypedStorage(count * dtype.itemsize, device="meta")
        return torch.storage.TypedStorage(wrap_storage=storages[key], dtype=dtype, _internal=True)

    unpickler = _weights_only_unpickler.Unpickler(io.BytesIO(pickled), encoding="utf-8")
    unpickler.persistent_load = load_storage
    with safe_load.allow_list():
        try:
            unpickler.load()
        except NotImplementedError as error:
            raise Damaged("has a quantised or nested tensor, which fairseq-train does not write") from error
    return storages


def check_tensors(state, path):
    """Raise `Damaged` for a tensor without numbers of its own: sparse, quantised, expanded, or on no device."""
    sizes = {}
    for name, tensor in _tensors(state):
        kind = _unusual_kind(tensor)
        if kind:
            raise Damaged(f"the tensor {shown(name)} in it is {kind}, which fairseq-train does not write")
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
    claimed, size = sum(sizes.values()), os.path.getsize(path)
    if claimed > size and not is_zip(path):
        raise Damaged(f"its tensors claim {claimed:,} bytes, the whole file has {size:,}")


def _unusual_kind(tensor):
    import torch

    if tensor.is_meta:
        return "on the meta device, without numbers"
    if tensor.layout != torch.strided or tensor.is_nested:
        return "sparse or nested"
    if tensor.is_quantized:
        return "quantised"
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        return "expanded: larger than what is there for it"
    return None


def _tensors(state):
    """Names and tensors in a state, which can be in dictionaries, lists, tuples and objects, at any depth."""
    import torch

    todo, seen = [("", state)], set()
    while todo:
        name, value = todo.pop()
        if isinstance(value, torch.Tensor):
            yield name, value
            continue
        parts = ()
        if isinstance(value, dict):
            parts = value.items()
        elif isinstance(value, (list, tuple)):
            parts = enumerate(value)
        elif hasattr(value, "__dict__"):  # argparse.Namespace
            parts = vars(value).items()
        if parts and id(value) not in seen:
            seen.add(id(value))
            todo += [(f"{name}.{key}" if name else str(key), part) for key, part in parts]
