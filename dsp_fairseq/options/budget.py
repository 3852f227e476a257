"""The budget: how many units of which blocks decode, according to the options of the budgets and of the limits."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from ..errors import BadInput, flag, refuse
from ..gates.choice import Choice, Share
from ..gates.limits import Limits
from ..option_names import BUDGETS, COMPETING
from ..structures.heads import HEADS
from ..structures.inventory import Block, Inventory
from ..structures.layers import LAYERS
from ..structures.nesting import holders
from ..structures.structure import STRUCTURES
from .layer_budget import Remaining, layer_shares, parse_layers
from .parameter_budget import parameter_share, parameters_of_counted, parse_parameters, prunable_parameters

_NUMBER = r"-?\d{1,18}"  # fewer digits than Python's limit for int(), so that a long number is a problem, no error


@dataclass(frozen=True)
class Budget:
    """Values of options as the user gave them; :meth:`choice` and :meth:`keep_range` apply them to one model."""

    given: Mapping[str, Any] = field(default_factory=dict)  # value by name of BUDGETS; None: no such budget
    range: str | None = None  # text LO:HI, numbers of heads
    prunable: str | None = None  # kinds of block, separated by commas; None: all kinds
    # smallest and largest number of heads or hidden units of a block, by structure
    limits: Mapping[str, tuple[int, int | None]] = field(default_factory=dict)
    # for a structure on which the models of a family have no gates, why an option about it is refused
    foreign: Mapping[str, str] = field(default_factory=dict)
    free_count: bool = False  # whether the logits decide the number of heads when neither a budget nor a range is given

    @classmethod
    def of(
        cls, options: Mapping[str, Any], free_count: bool = False, foreign: Mapping[str, str] = MappingProxyType({})
    ) -> "Budget":
        """The budget that options of pruning, by name, describe; a missing option counts as not given."""
        return cls(
            {name: options.get(name) for name in BUDGETS},
            options.get("heads_to_keep_range"),
            options.get("prunable"),
            {
                name: (options.get(f"min_{name}_per_block") or 0, options.get(f"max_{name}_per_block"))
                for name in STRUCTURES
            },
            foreign,
            free_count,
        )

    def keeping(self, heads_to_keep: Any = None, **others: Any) -> "Budget":
        """The same limits with other values of budgets, by the names of BUDGETS; a value of None changes nothing.

        A new budget in parameters replaces those in heads and hidden units; new numbers of both replace the one in
        parameters.
        """
        budgets = {"heads_to_keep": heads_to_keep, **others}
        given = {name: value for name, value in budgets.items() if value is not None}
        if "parameters_to_keep" in given:
            return replace(self, given={"layers_to_keep": self.given.get("layers_to_keep"), **given})
        together = {**self.given, **given}
        if given and all(together.get(name) is not None for name in COMPETING):
            together["parameters_to_keep"] = None
        return replace(self, given=together)

    def choice(self, inventory: Inventory) -> Choice:
        """The budget applied to the blocks of a model; raises BadInput when its values are impossible there."""
        shares: dict[str, list[tuple[Share, Sequence[Block]]]] = {}
        competing: list[str] = []  # structures without a number of their own, which a budget in parameters is for
        problems: list[str] = []
        for structure in STRUCTURES:
            if self.given.get(f"{structure}_to_keep") is not None and structure not in inventory.structures:
                reason = self.foreign.get(
                    structure,
                    f"the {STRUCTURES[structure].noun} of this checkpoint have no gates; train with "
                    f"--{structure}-to-keep, or choose with dsp-fairseq importance",
                )
                problems.append(f"--{structure}-to-keep {self.given[f'{structure}_to_keep']}: {reason}")
        remaining = None
        try:
            remaining = self._layers(inventory)
        except BadInput as problem:
            problems += str(problem).splitlines()
        for structure in inventory.of_structures_in_layers:
            if self.given.get("parameters_to_keep") is not None and self._number_of(structure, inventory) is None:
                competing.append(structure)
                continue
            try:
                shares[structure] = self._counted(structure, inventory, remaining)
            except BadInput as problem:
                problems += str(problem).splitlines()
        refuse(problems)
        counted = [pair for of_structure in shares.values() for pair in of_structure]
        if self.given.get("parameters_to_keep") is not None:
            share = self._in_parameters(inventory, counted, competing, remaining)
            shares[competing[0]] = [(share, ())]
        if remaining is not None:
            shares[LAYERS.name] = layer_shares(remaining.numbers, inventory.of_structure(LAYERS.name))
        in_order = [share for structure in inventory.structures for share, _ in shares.get(structure, [])]
        return Choice(tuple(in_order), free_count=self._is_free, holders=holders(inventory))

    @property
    def _is_free(self) -> bool:
        """Whether no number of units is asked for, so that the logits decide it."""
        return self.free_count and all(value is None for value in self.given.values()) and self.range is None

    def _layers(self, inventory: Inventory) -> Remaining | None:
        """The layers that are left, as numbers; None for a model without gates on layers. Raises BadInput."""
        own = inventory.of_structure(LAYERS.name)
        if not own.blocks:
            return None
        return Remaining(inventory, parse_layers(self.given.get("layers_to_keep"), own))

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
        limits = self._limits(HEADS.name, inventory.blocks, inventory.kinds)
        refuse([*limits.problems(low), *limits.problems(high)])
        return low, high

    def prunable_kinds(self, known: Sequence[str]) -> Sequence[str]:
        """The ``known`` kinds of block that may lose units; raises BadInput when --prunable names an unknown kind."""
        if self.prunable is None:
            return known
        kinds = self.prunable.split(",")
        if not set(kinds) <= set(known):
            raise BadInput(
                f"--prunable {self.prunable}: must be one or more of {', '.join(known)}, with commas and no spaces"
            )
        return kinds

    def _number_of(self, structure: str, inventory: Inventory) -> Any:
        """Value of the budget of a structure, or for heads the highest number of the range; None when not given."""
        value = self.given.get(f"{structure}_to_keep")
        drawn = self.keep_range(inventory) if value is None and structure == HEADS.name else None
        return value if drawn is None else drawn[1]

    def _counted(
        self, structure: str, inventory: Inventory, remaining: Remaining | None
    ) -> list[tuple[Share, Sequence[Block]]]:
        """The shares of a structure with their blocks: one share, or one per kind when the budget says so."""
        own, given = inventory.of_structure(structure), self._number_of(structure, inventory)
        number = parse_count(structure, given, own)

        def problems(share: Share, blocks: Sequence[Block], text: str) -> Sequence[str]:
            if remaining is None or given is None:
                return share.pool.problems(share.keep)
            return remaining.problems(share, blocks, text)

        if isinstance(number, int):
            share = Share(number, self._limits(structure, own.blocks, inventory.cuttable_kinds))
            refuse(problems(share, own.blocks, str(given)))
            # heads without a budget beside a budget for hidden units all stay; with nothing but a price, it decides
            chooses = self._is_free or len(inventory.structures) == 1
            return [(share if chooses or share.keep < share.units else share.fixed(), own.blocks)]
        of_kind = {kind: [block for block in own.blocks if block.kind == kind] for kind in number}
        shares = [
            Share(number[kind], self._limits(structure, of_kind[kind], inventory.cuttable_kinds)) for kind in number
        ]
        refuse(
            problem
            for kind, share in zip(number, shares, strict=True)
            for problem in problems(share, of_kind[kind], f"{kind}={share.keep * of_kind[kind][0].count}")
        )
        # a kind that keeps all its units has no choice to make
        return [
            (share if share.keep < share.units else share.fixed(), blocks)
            for share, blocks in zip(shares, of_kind.values(), strict=True)
        ]

    def _in_parameters(
        self,
        inventory: Inventory,
        counted: Sequence[tuple[Share, Sequence[Block]]],
        competing: Sequence[str],
        remaining: Remaining | None,
    ) -> Share:
        """The share of the structures that compete for what the others leave of --parameters-to-keep."""
        text = self.given["parameters_to_keep"]
        kinds = self.prunable_kinds(inventory.cuttable_kinds)
        prunable = prunable_parameters(inventory, kinds)
        amount = parse_parameters(text, prunable)
        if not competing:
            given = " and ".join(
                flag(name) for name in (*COMPETING, "parameters_to_keep") if self.given.get(name) is not None
            )
            raise BadInput(f"{given}: nothing is left to choose; leave out one of the three")
        if remaining is not None:
            counted = [(share, remaining.blocks(blocks)) for share, blocks in counted]
        spent = parameters_of_counted(counted, kinds)
        if spent > amount:
            given = " and ".join(f"{flag(n)} {self.given[n]}" for n in COMPETING if self.given.get(n) is not None)
            raise BadInput(
                f"--parameters-to-keep {text}: {amount:,} of {prunable:,} prunable parameters, but {given} keeps "
                f"{spent:,}; keep more parameters, or fewer of those"
            )
        blocks = [block for block in inventory.blocks if block.structure in competing]
        limits = [
            self._limits(name, inventory.of_structure(name).blocks, inventory.cuttable_kinds) for name in competing
        ]
        closed = [False] * len(blocks) if remaining is None else remaining.closed(blocks, most=True)
        return parameter_share(amount - spent, blocks, limits, kinds, closed)

    def _limits(self, structure: str, blocks: Sequence[Block], known: Sequence[str]) -> Limits:
        kinds = self.prunable_kinds(known)
        least, most = self.limits.get(structure, (0, None))
        count = blocks[0].count if blocks else 1
        return Limits(
            tuple(block.units for block in blocks),
            None if most is None else most // count,
            -(-least // count),
            tuple(block.kind not in kinds for block in blocks),
            structure,
            count,
        )


def parse_count(structure: str, value: Any, own: Inventory) -> int | dict[str, int]:
    """Number of units, or numbers by kind of block, from a value of --STRUCTURE-to-keep; None means all units.

    ``own`` are the blocks of the structure. The value counts heads, or hidden units, which form groups.
    Raises BadInput when the value has no such form, or asks for more than there is.
    """
    option, noun = f"--{structure}-to-keep", STRUCTURES[structure].noun
    group = own.blocks[0].count if own.blocks else 1
    there = own.kept_per_kind([True] * own.units)
    everything = sum(there.values())
    if value is None:
        return own.units
    text = str(value)
    if re.fullmatch(_NUMBER, text):
        if not 0 <= int(text) <= everything:
            raise BadInput(f"{option} {text}: must be 0 to {everything}, the {noun} of this model")
        return _whole_groups(option, text, int(text), group)
    pairs = [part.partition("=")[::2] for part in text.split(",")]
    if sorted(kind for kind, _ in pairs) != sorted(there) or not all(re.fullmatch(_NUMBER, n) for _, n in pairs):
        example = ",".join(f"{kind}={count}" for kind, count in there.items())
        raise BadInput(
            f"{option} {text[:100]}: must be a number, 0 to {everything}, or one for each kind of block, "
            f"such as {example} (all {noun} of this model)"
        )
    counts = {kind: int(number) for kind, number in pairs}
    refuse(
        f"{option} {kind}={count}: must be 0 to {there[kind]}, the {noun} of that kind"
        for kind, count in counts.items()
        if not 0 <= count <= there[kind]
    )
    return {kind: _whole_groups(option, f"{kind}={counts[kind]}", counts[kind], group) for kind in there}


def _whole_groups(option: str, text: str, number: int, group: int) -> int:
    if number % group:
        below = number - number % group
        raise BadInput(
            f"{option} {text}: must be a multiple of {group}, the {flag('ffn_group')} of this model; say {below} or "
            f"{below + group}"
        )
    return number // group
