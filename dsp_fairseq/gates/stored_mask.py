"""The mask that decodes, as checkpoints store it: one tensor of zeros and ones per structure."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..structures.heads import HEADS
from ..structures.inventory import Inventory
from ..structures.structure import STRUCTURES

PREFIX = "kept."  # prefix of the mask's names in the state dict of gates, such as kept.heads


class StoredMask(nn.Module):
    """The mask as one float64 buffer per structure; float, because fairseq averages every tensor of a model."""

    def __init__(self, inventory: Inventory):
        super().__init__()
        self._inventory = inventory
        for name, size in _sizes(inventory).items():
            self.register_buffer(name, torch.ones(size, dtype=torch.float64))

    def store(self, mask: Tensor) -> None:
        """Store a flat mask, bool [units]."""
        for name, piece in _by_structure(mask, self._inventory).items():
            self.get_buffer(name).copy_(piece)

    def read(self) -> Tensor | None:
        """The flat mask, bool [units]; None when the buffers have values other than 0 and 1, as a mean of masks has."""
        return _flat(dict(self.named_buffers()), self._inventory)


def mask_entries(mask: Tensor, inventory: Inventory) -> dict[str, Tensor]:
    """The entries of the state dict of gates for a flat mask, bool [units]."""
    return {PREFIX + name: piece.double() for name, piece in _by_structure(mask, inventory).items()}


def stored_mask(weights: Mapping[str, Tensor], inventory: Inventory) -> Tensor | None:
    """The flat mask in the state dict of gates, bool [units]; None where there is none, as in files of version 0.1."""
    pieces = {name: weights.get(PREFIX + name) for name in _sizes(inventory)}
    found = {name: piece for name, piece in pieces.items() if piece is not None}
    return _flat(found, inventory) if len(found) == len(pieces) else None


def logits_by_structure(weights: Mapping[str, Tensor], start: Tensor, inventory: Inventory) -> Tensor | None:
    """Logits [units] for an inventory, from gates whose model had gates on other structures.

    Args:
        weights: the state dict of those gates. Files up to version 0.1 hold no mask, and have gates on heads only.
        start: logits [units] for the structures that had no gates.

    Returns None when a structure has another number of units there.
    """
    logits = weights["logits"]
    sizes = {name: len(weights[PREFIX + name]) for name in STRUCTURES if PREFIX + name in weights}
    sizes = sizes or {HEADS.name: len(logits)}
    own = _sizes(inventory)
    if sum(sizes.values()) != len(logits) or any(sizes[name] != own[name] for name in sizes if name in own):
        return None
    there = dict(zip(sizes, torch.split(logits.detach(), list(sizes.values())), strict=True))
    return torch.cat(
        [there.get(name, piece) for name, piece in zip(own, torch.split(start, list(own.values())), strict=True)]
    )


def _sizes(inventory: Inventory) -> dict[str, int]:
    """Number of units by structure."""
    sizes: dict[str, int] = {}
    for block in inventory.blocks:
        sizes[block.structure] = sizes.get(block.structure, 0) + block.units
    return sizes


def _by_structure(mask: Tensor, inventory: Inventory) -> dict[str, Tensor]:
    pieces: dict[str, list[Tensor]] = {}
    for block, piece in zip(inventory.blocks, torch.split(mask, inventory.sizes), strict=True):
        pieces.setdefault(block.structure, []).append(piece)
    return {name: torch.cat(of_structure) for name, of_structure in pieces.items()}


def _flat(pieces: Mapping[str, Tensor], inventory: Inventory) -> Tensor | None:
    left = {name: list(torch.split(piece, _block_sizes(inventory, name))) for name, piece in pieces.items()}
    flat = torch.cat([left[block.structure].pop(0) for block in inventory.blocks])
    mask = flat > 0.5
    return mask if torch.equal(mask.to(flat), flat) else None


def _block_sizes(inventory: Inventory, structure: str) -> list[int]:
    return [block.units for block in inventory.blocks if block.structure == structure]
