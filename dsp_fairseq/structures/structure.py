"""The slices of a block's weights that belong to one unit, for surgery, parameter counts, norms and padding alike."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

STRUCTURES: dict[str, "Structure"] = {}  # by name
LAYOUTS: dict[str, "Structure"] = {}  # the same structures in modules that store them in other parameters, by layout


class Slice(NamedTuple):
    """An axis of a parameter along which units follow one another, each with the same number of entries (its width)."""

    parameter: str  # name of the parameter within the block's module
    axis: int


@dataclass(frozen=True)
class Structure:
    """A sort of unit, such as heads, with the slices of its block's parameters that units own.

    Parameters without a slice, such as an output bias, belong to the block and stay when all units are removed.
    """

    name: str  # in the plural; part of the names of options and of tensors in checkpoints
    slices: tuple[Slice, ...]
    noun: str  # for what budgets count, plural
    carrier: str | None = None  # attribute of the block's module that applies its gates; None: the module itself
    output: str | None = None  # weight that turns the units into the block's output, which output scaling multiplies
    # modules without whose slice of weights a unit adds nothing to the output of its block
    essential: tuple[str, ...] = ()
    counted_by_entry: bool = False  # whether budgets count the entries of a unit, such as the hidden units of a group
    nests: bool = False  # whether the block is a stack and a unit one of its layers, which holds the units of blocks

    @property
    def submodules(self) -> tuple[str, ...]:
        """Names of the modules, within the block's module, whose parameters the units share."""
        return tuple(dict.fromkeys(part.parameter.rpartition(".")[0] for part in self.slices))

    def carrier_in(self, module: Any) -> Any:
        """What applies the gates of a block, given the block's module."""
        return module if self.carrier is None else getattr(module, self.carrier)

    def change(self, weights: Mapping[str, Tensor], change: Callable[[Tensor, int], Tensor]) -> dict[str, Tensor]:
        """Apply ``change(tensor, axis)`` to every slice of one block; names in ``weights`` have no module prefix."""
        return {part.parameter: change(weights[part.parameter], part.axis) for part in self.slices}

    def select(self, weights: Mapping[str, Tensor], entries: Tensor) -> dict[str, Tensor]:
        """The slices of one block with only the given entries, int64 [n], along their axes."""
        return self.change(weights, lambda tensor, axis: tensor.index_select(axis, entries))

    def norms(self, weights: Mapping[str, Tensor], width: int) -> Tensor:
        """Frobenius norm [units], float64, over all matrix entries that each unit of one block owns, without biases.

        This is the group magnitude of structured pruning (Fang et al., DepGraph, CVPR 2023).
        """
        matrices = [(weights[name].double(), axis) for name, axis in self.slices if weights[name].dim() == 2]
        squares = sum(matrix.square().sum(dim=1 - axis) for matrix, axis in matrices)
        # [units*width] -> [units, width] -> [units]
        return torch.as_tensor(squares).reshape(-1, width).sum(dim=1).sqrt()


def register_structure(name: str, slices: Iterable[tuple[str, int]], noun: str, **more: Any) -> Structure:
    """Register a structure from pairs of parameter and axis; blocks refer to it by name.

    ``more`` are further fields of :class:`Structure`.
    """
    STRUCTURES[name] = Structure(name, tuple(Slice(*each) for each in slices), noun, **more)
    return STRUCTURES[name]


def register_layout(layout: str, of: Structure, slices: Iterable[tuple[str, int]]) -> Structure:
    """Register the slices of a structure in modules with other parameters; blocks refer to it by ``layout``."""
    LAYOUTS[layout] = replace(of, slices=tuple(Slice(*each) for each in slices))
    return LAYOUTS[layout]


def entries_of(units: Tensor, width: int) -> Tensor:
    """The entries along the axis of a slice that belong to units: int64 [n] -> int64 [n * width].

    >>> entries_of(torch.tensor([0, 2]), width=3).tolist()
    [0, 1, 2, 6, 7, 8]
    """
    within = torch.arange(width, device=units.device)
    # [n, 1] + [width] -> [n, width] -> [n*width]
    return (units.unsqueeze(1) * width + within).reshape(-1)
