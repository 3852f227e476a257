"""The result of ``dsp-fairseq importance``, as text and as JSON."""

import json
import math
from typing import Any, NamedTuple

from torch import Tensor

from ..checkpoints.reading import KeptUnits
from ..removal import count_lines, left_in_words, removal_table
from ..structures.inventory import Inventory
from ..structures.nesting import layers_left
from .ranking import Ranking
from .sentences import Sentences
from .settings import Settings


class Result(NamedTuple):
    """A finished ranking; its text is a table of the blocks."""

    checkpoint: str
    settings: Settings
    before: KeptUnits
    ranking: Ranking
    sentences: Sentences | None

    @property
    def after(self) -> Inventory:
        return self.before.inventory.keeping(self.ranking.mask.tolist())

    @property
    def steps(self) -> int:
        return max(1, int(self.ranking.removed_in.max()))

    def __str__(self) -> str:
        start, after = self.before.inventory.keeping(self.before.mask.tolist()), self.after
        return "\n".join(
            [
                removal_table(start, after),
                *count_lines(start, after),
                f"importance: {self._basis()}; {_plural(self.steps, 'step')}",
                f"checked: reloaded, decodes with {left_in_words(after)}",
            ]
        )

    def _basis(self) -> str:
        if self.sentences is None:
            return self.settings.score
        read = f"{self.settings.score}, mean of {_plural(len(self.sentences), 'sentence')}"
        left_out = f" ({self.sentences.too_long} too long for the model)" if self.sentences.too_long else ""
        return f"{read} of {self.settings.read['subset']}{left_out}"

    def as_json(self) -> str:
        """One JSON object; each list has an entry for every original unit of a block.

        ``importance`` is null for a unit that was not open at the start; after several steps it is that of the
        step in which the unit went, or of the last, so it compares units of one step. ``removed_in_step`` is
        null for a unit that did not go.
        """
        steps = [number or None for number in self.ranking.removed_in.tolist()]
        return json.dumps(
            {
                "checkpoint": self.checkpoint,
                "score": self.settings.score,
                **self.settings.read,
                "sentences": None if self.sentences is None else len(self.sentences),
                **{f"{name}_to_keep": self.after.count_of(name) for name in self.after.of_structures_in_layers},
                **({"layers_to_keep": layers_left(self.after)} if layers_left(self.after) else {}),
                **{name: self.after.original().count_of(name) for name in self.after.structures},
                "kept": self.after.indices(),
                "importance": self._by_block(_finite(self.ranking.importance)),
                "removed_in_step": self._by_block(steps),
            }
        )

    def _by_block(self, flat: list[Any]) -> dict[str, list[Any]]:
        """A list [H] as lists over the original units of every block, null for units that are not in the file."""
        inventory = self.before.inventory
        lists = {}
        for block, piece in zip(inventory.blocks, inventory.split(flat), strict=True):
            there = dict(zip(block.indices, piece, strict=True))
            lists[block.name] = [there.get(unit) for unit in range(block.original_units)]
        return lists


def _finite(numbers: Tensor) -> list[float | None]:
    return [None if math.isnan(number) else number for number in numbers.tolist()]


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
