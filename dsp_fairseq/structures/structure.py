"""Which slices of a block's weights belong to one unit: said once, for surgery, counts, norms and padding."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

STRUCTURES: dict[str, "Structure"] = {}  # by name


class Slice(NamedTuple):
    """Units lie one after the other along one axis of a parameter, each with the same number of entries (its width)."""

    parameter: str  # its name, without the name of the block's module
    axis: int


@dataclass(frozen=True)
class Structure:
    """A kind of unit, such as heads, by what one unit owns of its block's parameters.

    What no unit owns, such as an output bias, belongs to the block and stays when all units are removed.
    """

    name: str  # in names of options and of checkpoints
    slices: tuple[Slice, ...]
    noun: str  # for what budgets count, plural
    carrier: str | None = None  # attribute of the block's module that applies its gates; None: the module itself
    counted_by_entry: bool = False  # whether budgets count the entries of a unit, such as the hidden units of a group

    @property
    def submodules(self) -> tuple[str, ...]:
        """Names of the modules, within the block's module, whose parameters the units share."""
        return tuple(dict.fromkeys(part.parameter.rpartition(".")[0] for part in self.slices))

    def carrier_in(self, module: Any) -> Any:
        """What applies the gates of a block, given the block's module."""
        return module if self.carrier is None else getattr(module, self.carrier)

    def change(self, weights: Mapping[str, Tensor], change: Callable[[Tensor, int], Tensor]) -> dict[str, Tensor]:
        """``change(tensor, axis)`` of every slice of one block; ``weights`` have no prefix."""
        return {part.parameter: change(weights[part.parameter], part.axis) for part in self.slices}

    def select(self, weights: Mapping[str, Tensor], entries: Tensor) -> dict[str, Tensor]:
        """The slices of one block with only these entries, int64 [n], along their axes."""
        return self.change(weights, lambda tensor, axis: tensor.index_select(axis, entries))

    def norms(self, weights: Mapping[str, Tensor], width: int) -> Tensor:
        """Frobenius norm of all matrices that each unit of one block owns: [units], float64.

        Biases do not count: this is the group magnitude of structured pruning (Fang et al., DepGraph, CVPR 2023).
        """
        matrices = [(weights[name].double(), axis) for name, axis in self.slices if weights[name].dim() == 2]
        squares = sum(matrix.square().sum(dim=1 - axis) for matrix, axis in matrices)
        # [units*width] -> [units, width] -> [units]
        return torch.as_tensor(squares).reshape(-1, width).sum(dim=1).sqrt()


def register_structure(name: str, slices: Iterable[tuple[str, int]], noun: str, **more: Any) -> Structure:
    """Make a structure known by its name; every block of an inventory names one. ``more``: see Structure."""
    STRUCTURES[name] = Structure(name, tuple(Slice(*each) for each in slices), noun, **more)
    return STRUCTURES[name]


def entries_of(units: Tensor, width: int) -> Tensor:
    """Entries along the axis of a slice that belong to these units: int64 [n] -> [n * width].

    >>> entries_of(torch.tensor([0, 2]), width=3).tolist()
    [0, 1, 2, 6, 7, 8]
    """
    within = torch.arange(width, device=units.device)
    # [n, 1] + [width] -> [n, width] -> [n*width]
    return (units.unsqueeze(1) * width + within).reshape(-1)
