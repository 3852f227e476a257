"""Counts of the parameters in a state dict, by part of the model.

A tensor with several names, such as shared embeddings, counts once, under its first name. The state of the gates and
fairseq's version marks do not count as parameters.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence

from torch import Tensor

from .ffn import FFN
from .inventory import Block, Inventory
from .nesting import layers_left
from .surgery import UNUSED, remove_units, weights_of

EMBEDDINGS, FEED_FORWARD, REST = "embeddings", "feed-forward", "norms and rest"

_NO_PARAMETER = (".version", "._float_tensor")


def by_part(weights: Mapping[str, Tensor], inventory: Inventory, submodules: Mapping[str, str]) -> dict[str, int]:
    """Number of parameters of the embeddings, each kind of block, the feed-forward layers and the rest.

    The numbers sum to :func:`total`. All parameters of a block's module, biases included, count for its kind.

    Args:
        weights: state dict of the model.
        inventory: blocks of the model.
        submodules: part of the model by name of submodule, for the modules outside all blocks (see
            :class:`~dsp_fairseq.families.Family`).
    """
    counts = dict.fromkeys((EMBEDDINGS, *inventory.cuttable_kinds, FEED_FORWARD, REST), 0)
    for name, tensor in _parameters(weights):
        counts[_part(name, inventory.blocks, submodules)] += tensor.numel()
    if FFN.name in inventory.structures or FEED_FORWARD not in submodules.values():
        del counts[FEED_FORWARD]  # its blocks have parts of their own, or there are none
    return counts


def total(weights: Mapping[str, Tensor]) -> int:
    """Number of parameters of the whole model."""
    return sum(tensor.numel() for _, tensor in _parameters(weights))


def of_pruned_units(weights: Mapping[str, Tensor], inventory: Inventory, mask: Sequence[bool]) -> int:
    """Number of parameters in ``weights`` of units that are not True in a flat mask [units].

    A layer counts with everything in it.
    """
    after = inventory.keeping(mask)
    if layers_left(after):
        return total(weights) - total(remove_units(weights, inventory, after))
    pruned = 0
    for block, kept in zip(inventory.blocks, after.sizes, strict=True):
        owned = sum(tensor.numel() for tensor in weights_of(weights, block).values())
        pruned += owned * (block.units - kept) // max(block.units, 1)
    return pruned


def bytes_on_disk(weights: Mapping[str, Tensor]) -> int:
    """Size of the state dict in its file, in bytes: every storage counts once; gates and version marks count too."""
    storages = [tensor.untyped_storage() for tensor in weights.values()]
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


def once_per_tensor(weights: Mapping[str, Tensor], change: Callable[[str, Tensor], Tensor]) -> dict[str, Tensor]:
    """Apply ``change(name, tensor)`` to a state dict; a tensor with several names is changed once and stays shared."""
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
    """Names and tensors of all parameters, each tensor under its first name only."""
    seen = set()
    for name, tensor in weights.items():
        if name.startswith("gates.") or name == UNUSED or name.endswith(_NO_PARAMETER) or not tensor.numel():
            continue
        if _identity(tensor) not in seen:
            seen.add(_identity(tensor))
            yield name, tensor


def _part(name: str, blocks: Iterable[Block], submodules: Mapping[str, str]) -> str:
    for block in blocks:
        own = block.owned.submodules
        if name.startswith(tuple(f"{block.module}.{submodule}." for submodule in own)):
            return block.kind
    modules = name.split(".")
    return next((part for module, part in submodules.items() if module in modules), REST)
