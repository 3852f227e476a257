"""The budget: how many heads of which blocks decode, according to --heads-to-keep, its range and the limits."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..errors import BadInput, refuse
from ..gates.choice import Choice, Share
from ..gates.limits import Limits
from ..structures.inventory import Block, Inventory

_NUMBER = r"-?\d{1,18}"  # fewer digits than Python's limit for int(), so that a long number is a problem, no error


@dataclass(frozen=True)
class Budget:
    """Values of options as the user gave them; :meth:`choice` and :meth:`keep_range` apply them to one model."""

    heads_to_keep: Any = None  # a number, or text with one number per kind of block; None: all heads, or the range
    range: str | None = None  # text LO:HI
    prunable: str | None = None  # kinds of block, separated by commas; None: all kinds
    floor: int = 0  # smallest number of heads of a block
    cap: int | None = None  # largest number of heads of a block
    free_count: bool = False  # whether the logits decide the number of heads when neither K nor a range is given

    @classmethod
    def of(cls, options: Mapping[str, Any], free_count: bool = False) -> "Budget":
        """The budget that options of pruning, by name, describe; a missing option counts as not given."""
        return cls(
            options.get("heads_to_keep"),
            options.get("heads_to_keep_range"),
            options.get("prunable"),
            options.get("min_heads_per_block") or 0,
            options.get("max_heads_per_block"),
            free_count,
        )

    def keeping(self, heads_to_keep: Any) -> "Budget":
        """The same limits with another value of --heads-to-keep; None changes nothing."""
        return self if heads_to_keep is None else replace(self, heads_to_keep=heads_to_keep)

    def choice(self, inventory: Inventory) -> Choice:
        """The budget applied to the blocks of a model; raises BadInput when its values are impossible there."""
        value, drawn = self.heads_to_keep, self.keep_range(inventory) if self.heads_to_keep is None else None
        if drawn is not None:
            value = drawn[1]
        number = parse_heads_to_keep(value, inventory.kept_per_kind([True] * inventory.units))
        if isinstance(number, int):
            shares = [Share(number, self._limits(inventory.blocks, inventory.kinds))]
        else:
            of_kind = {kind: [b for b in inventory.blocks if b.kind == kind] for kind in inventory.kinds}
            shares = [Share(number[kind], self._limits(of_kind[kind], inventory.kinds)) for kind in inventory.kinds]
        refuse(problem for share in shares for problem in share.limits.problems(share.keep))
        if len(shares) > 1:  # a kind that keeps all its heads has no choice to make
            shares = [share.fixed() if share.keep == share.units else share for share in shares]
        return Choice(tuple(shares), free_count=self.free_count and value is None)

    def keep_range(self, inventory: Inventory) -> tuple[int, int] | None:
        """Lowest and highest K of --heads-to-keep-range; None when it is not given.

        Raises BadInput when the text is not LO:HI, or a number of heads is impossible in this model.
        """
        if self.range is None:
            return None
        parts = re.fullmatch(r"(\d{1,9}):(\d{1,9})", self.range)
        low, high = map(int, parts.groups()) if parts else (1, 0)
        if not low <= high <= inventory.units:
            raise BadInput(
                f"--heads-to-keep-range {self.range[:100]}: must be LO:HI with LO not above HI and HI at most "
                f"{inventory.units}, the heads of this model"
            )
        limits = self._limits(inventory.blocks, inventory.kinds)
        refuse([*limits.problems(low), *limits.problems(high)])
        return low, high

    def _limits(self, blocks: Sequence[Block], known: Sequence[str]) -> Limits:
        kinds = self._prunable_kinds(known)
        return Limits(
            tuple(block.units for block in blocks),
            self.cap,
            self.floor,
            tuple(block.kind not in kinds for block in blocks),
        )

    def _prunable_kinds(self, known: Sequence[str]) -> Sequence[str]:
        """The ``known`` kinds of block that may lose heads; raises BadInput when --prunable names an unknown kind."""
        if self.prunable is None:
            return known
        kinds = self.prunable.split(",")
        if not set(kinds) <= set(known):
            raise BadInput(
                f"--prunable {self.prunable}: must be one or more of {', '.join(known)}, with commas and no spaces"
            )
        return kinds


def parse_heads_to_keep(value: Any, heads: dict[str, int]) -> int | dict[str, int]:
    """K, or K by kind of block, from a value of --heads-to-keep; None means all heads.

    ``heads`` is the number of heads in the model by kind. Raises BadInput when the value has no such form, or asks for
    more heads than there are.
    """
    everything = sum(heads.values())
    if value is None:
        return everything
    text = str(value)
    if re.fullmatch(_NUMBER, text):
        refuse(
            [f"--heads-to-keep {text}: must be 0 to {everything}, the heads of this model"]
            if not 0 <= int(text) <= everything
            else []
        )
        return int(text)
    pairs = [part.partition("=")[::2] for part in text.split(",")]
    if sorted(kind for kind, _ in pairs) != sorted(heads) or not all(re.fullmatch(_NUMBER, n) for _, n in pairs):
        example = ",".join(f"{kind}={count}" for kind, count in heads.items())
        raise BadInput(
            f"--heads-to-keep {text[:100]}: must be a number, 0 to {everything}, or one for each kind of block, "
            f"such as {example} (all heads of this model)"
        )
    budget = {kind: int(number) for kind, number in pairs}
    refuse(
        f"--heads-to-keep {kind}={count}: must be 0 to {heads[kind]}, the heads of that kind"
        for kind, count in budget.items()
        if not 0 <= count <= heads[kind]
    )
    return budget
