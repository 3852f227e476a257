"""Which scores a model has: one for each block of weights, or one for each unit, in one flat vector.

Scores lie in *sheets*, one after another: the blocks of one matrix, or the units of one block of the model, whose
score all its matrices share. A sheet has one cost, the number of weights that one of its scores masks, and one group,
in which the penalty takes its mean.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ...structures.heads import HEADS
from ...structures.inventory import Block, Inventory
from ...structures.structure import STRUCTURES
from ..budgeted_mask import budgeted_mask
from ..priced_units import PricedUnits
from .blocks import expanded

BLOCK, HEAD = SHAPES = ("block", "head")  # values of --block-shape
_NAMES = {HEADS.name: "attention"}  # what a group calls a structure


@dataclass(frozen=True)
class Blocking:
    """What one score of an attention block is about: a block of ``rows`` x ``columns`` weights, or a whole head.

    In the output projection, which has the heads along its columns, rows and columns are swapped.
    """

    rows: int = 32
    columns: int = 32
    shape: str = BLOCK


@dataclass(frozen=True)
class ScoredMatrix:
    """One weight [R, C] that is masked by ``grid`` blocks."""

    module: str  # name of the linear layer in the model
    shape: tuple[int, int]
    grid: tuple[int, int]  # (r, c)
    start: int  # place of its first score in the flat vector
    axis: int  # along which units follow one another
    owner: int  # index of the block of the inventory

    @property
    def masks_bias(self) -> bool:
        """Whether units own the bias, whose entries are 0 where all weights of their row are.

        The other biases belong to the block of the model, which keeps them when its units are gone.
        """
        return self.axis == 0

    def of(self, flat: Tensor) -> Tensor:
        """Its piece of a flat vector, [r, c]."""
        down, across = self.grid
        return flat[self.start : self.start + down * across].view(down, across)  # [r*c] -> [r, c]

    def rows_open(self, mask: Tensor) -> Tensor:
        """The rows that have an open block: bool [R], for a flat mask."""
        return self.of(mask).any(dim=1).repeat_interleave(self.shape[0] // self.grid[0])


@dataclass(frozen=True)
class Layout:
    """The scores of a model, N in all."""

    inventory: Inventory
    matrices: tuple[ScoredMatrix, ...]
    sizes: tuple[int, ...]  # scores of each sheet
    costs: tuple[int, ...]  # weights that one score of each sheet masks
    groups: tuple[str, ...]  # of each sheet, such as stack.attention

    @classmethod
    def of(cls, inventory: Inventory, blocking: Blocking) -> "Layout":
        """Raises ValueError where blocks do not divide a matrix; see :func:`blocking_problems`."""
        if blocking_problems(inventory, blocking):
            raise ValueError(blocking_problems(inventory, blocking)[0])
        matrices: list[ScoredMatrix] = []
        sheets: list[tuple[int, int, str]] = []
        for owner, block in enumerate(inventory.blocks):
            group = f"{block.part}.{_NAMES.get(block.structure, block.structure)}"
            whole = blocking.shape == HEAD or block.structure != HEADS.name
            shared_at = sum(size for size, _, _ in sheets)
            slices = _matrices_of(block) if block.units else []
            for name, axis, shape in slices:
                grid = _grid(block, axis, shape, None if whole else blocking)
                start = shared_at if whole else sum(size for size, _, _ in sheets)
                matrices.append(ScoredMatrix(f"{block.module}.{name}", shape, grid, start, axis, owner))
                if not whole:
                    sheets.append((math.prod(grid), math.prod(shape) // math.prod(grid), group))
            if whole and slices:
                weights = sum(math.prod(shape) for _, _, shape in slices)
                sheets.append((block.units, weights // block.units, group))
        sizes, costs, groups = zip(*sheets, strict=True) if sheets else ((), (), ())
        return cls(inventory, tuple(matrices), sizes, costs, groups)

    @property
    def scores(self) -> int:
        """N."""
        return sum(self.sizes)

    @property
    def weights(self) -> int:
        """Number of weights that can be pruned."""
        return self._units.cost_of_caps

    @cached_property
    def _units(self) -> PricedUnits:
        return PricedUnits(self.sizes, self.costs)

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """Place of the first score of each sheet."""
        return tuple(sum(self.sizes[:sheet]) for sheet in range(len(self.sizes)))

    def sheet_of(self, matrix: ScoredMatrix) -> int:
        """The index of the sheet that has the scores of a matrix."""
        return self.starts.index(matrix.start)

    def weights_in(self, mask: Tensor) -> int:
        """Number of weights that a mask, bool [N], leaves open."""
        return self._units.cost(mask.cpu().numpy())

    def top(self, scores: Tensor, share: float) -> Tensor:
        """The best scores, bool [N], whose weights are at most ``share`` of all, and nothing more fits.

        Of equal scores the first one is kept, so the number of weights is exact whatever the scores are.
        """
        return budgeted_mask(scores, self._units, math.floor(share * self.weights + 1e-9))

    def units_left(self, mask: Tensor) -> Tensor:
        """The units of the inventory that a mask, bool [N], leaves: bool [H].

        A unit is gone when a matrix without which it adds nothing is closed for it: for a head its rows of the value
        projection or its columns of the output projection. Closed queries or keys make its attention even, not 0.
        """
        mask = mask.cpu()
        left = [torch.ones(block.units, dtype=torch.bool) for block in self.inventory.blocks]
        for matrix in self.matrices:
            block = self.inventory.blocks[matrix.owner]
            if matrix.module.rpartition(".")[2] in STRUCTURES[block.structure].essential:
                along = matrix.of(mask).any(dim=1 - matrix.axis)
                entries = along.repeat_interleave(matrix.shape[matrix.axis] // len(along))
                # [units*width] -> [units, width] -> [units]
                left[matrix.owner] &= entries.view(block.units, block.width).any(dim=1)
        return torch.cat(left)

    def zeros_in_place(self, weights: "dict[str, Tensor]", mask: Tensor) -> dict[str, Tensor]:
        """The state dict of a model with zeros for all weights and biases that a mask, bool [N], closes."""
        changed = dict(weights)
        for matrix in self.matrices:
            name = f"{matrix.module}.weight"
            changed[name] = weights[name] * expanded(matrix.of(mask), matrix.shape).to(weights[name])
            bias = f"{matrix.module}.bias"
            if matrix.masks_bias and bias in weights:
                changed[bias] = weights[bias] * matrix.rows_open(mask).to(weights[bias])
        return changed


def blocking_problems(inventory: Inventory, blocking: Blocking) -> list[str]:
    """One line for each of --block-rows and --block-cols that does not divide the matrices of a model's attention."""
    blocks = [block for block in inventory.blocks if block.units]
    unknown = [block.kind for block in blocks if 0 in block.widths]
    if unknown:
        return [
            f"--pruning-method movement: does not know the matrices of {unknown[0]} in this model; choose another "
            "method"
        ]
    blocks = [block for block in blocks if block.structure == HEADS.name]
    if blocking.shape == HEAD:
        return []
    sides = {
        "--block-rows": (blocking.rows, [block.units * block.width for block in blocks]),
        "--block-cols": (blocking.columns, [width for block in blocks for width in block.widths]),
    }
    return [
        f"{option} {size}: must divide the {_listed(lengths)} {option[8:].replace('cols', 'columns')} of the query, "
        f"key and value matrices (in the output matrix rows and columns are swapped); say {_listed(_divisors(lengths))}"
        for option, (size, lengths) in sides.items()
        if any(length % size for length in lengths)
    ]


def _divisors(lengths: Sequence[int]) -> list[int]:
    common = math.gcd(*lengths)
    return [size for size in range(1, common + 1) if common % size == 0]


def _listed(numbers: Sequence[int]) -> str:
    texts = [str(number) for number in sorted(set(numbers))]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} or {texts[-1]}"


def _matrices_of(block: Block) -> list[tuple[str, int, tuple[int, int]]]:
    """Name, axis of the units, and shape of each matrix that units of a block own slices of."""
    owned, (outer, inner) = block.units * block.width, block.widths
    found = []
    for parameter, axis in STRUCTURES[block.structure].slices:
        name, _, part = parameter.rpartition(".")
        if part == "weight":
            other = inner if name in ("k_proj", "v_proj") else outer
            found.append((name, axis, (owned, other) if axis == 0 else (other, owned)))
    return found


def _grid(block: Block, axis: int, shape: tuple[int, int], blocking: Blocking | None) -> tuple[int, int]:
    """Numbers of blocks of a matrix along its rows and columns; without ``blocking`` one for each unit."""
    if blocking is None:
        return (block.units, 1) if axis == 0 else (1, block.units)
    rows, columns = (blocking.rows, blocking.columns) if axis == 0 else (blocking.columns, blocking.rows)
    return shape[0] // rows, shape[1] // columns
