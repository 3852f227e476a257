"""How many numbers a model's state dict holds, part by part.

What is on disk is counted: a tensor that has several names (shared embeddings) once, under its first.
Gates are no parameters of the model, and neither are fairseq's version marks.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping

from torch import Tensor

from .ffn import FFN
from .inventory import Block, Inventory
from .structure import STRUCTURES
from .surgery import UNUSED, weights_of

EMBEDDINGS, FEED_FORWARD, REST = "embeddings", "feed-forward", "norms and rest"

_NO_PARAMETER = (".version", "._float_tensor")


def by_part(weights: Mapping[str, Tensor], inventory: Inventory, submodules: Mapping[str, str]) -> dict[str, int]:
    """Parameters of embeddings, of each kind of block, feed-forward and the rest; their sum is :func:`total`.

    ``submodules`` says to which part a module belongs that is in no block, by the last part of its name (see
    :class:`~dsp_fairseq.families.Family`). Blocks come with all their biases.
    """
    counts = dict.fromkeys((EMBEDDINGS, *inventory.kinds, FEED_FORWARD, REST), 0)
    for name, tensor in _parameters(weights):
        counts[_part(name, inventory.blocks, submodules)] += tensor.numel()
    if FFN.name in inventory.structures:
        del counts[FEED_FORWARD]  # its blocks have parts of their own
    return counts


def total(weights: Mapping[str, Tensor]) -> int:
    """Parameters of the whole model."""
    return sum(tensor.numel() for _, tensor in _parameters(weights))


def of_pruned_units(weights: Mapping[str, Tensor], inventory: Inventory, per_block: Iterable[int]) -> int:
    """Parameters that belong to units which are in ``weights`` but not kept; kept units ``per_block`` are given."""
    pruned = 0
    for block, kept in zip(inventory.blocks, per_block, strict=True):
        owned = sum(tensor.numel() for tensor in weights_of(weights, block).values())
        pruned += owned * (block.units - kept) // max(block.units, 1)
    return pruned


def bytes_on_disk(weights: Mapping[str, Tensor]) -> int:
    """Bytes that the state dict takes in its file: every storage once, gates and marks included."""
    storages = [tensor.untyped_storage() for tensor in weights.values()]
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


def once_per_tensor(weights: Mapping[str, Tensor], change: Callable[[str, Tensor], Tensor]) -> dict[str, Tensor]:
    """The state dict after ``change(name, tensor)``: what is one tensor under several names stays one."""
    changed: dict[Hashable, Tensor] = {}
    for name, tensor in weights.items():
        if _identity(tensor) not in changed:
            changed[_identity(tensor)] = change(name, tensor)
    return {name: changed[_identity(tensor)] for name, tensor in weights.items()}


def _identity(tensor: Tensor) -> Hashable:
    if not tensor.numel():
        return id(tensor)
    return tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype


def _parameters(weights: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Names and tensors, each tensor once."""
    seen = set()
    for name, tensor in weights.items():
        if name.startswith("gates.") or name == UNUSED or name.endswith(_NO_PARAMETER) or not tensor.numel():
            continue
        if _identity(tensor) not in seen:
            seen.add(_identity(tensor))
            yield name, tensor


def _part(name: str, blocks: Iterable[Block], submodules: Mapping[str, str]) -> str:
    for block in blocks:
        own = STRUCTURES[block.structure].submodules
        if name.startswith(tuple(f"{block.module}.{submodule}." for submodule in own)):
            return block.kind
    modules = name.split(".")
    return next((part for module, part in submodules.items() if module in modules), REST)
