"""The grid of a sweep's file: methods, amounts and seeds, whose combinations are its cells."""

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator

from ..errors import MOST_SEED
from ..families import Family
from ..gates.methods.movement import parsed_share
from .amounts import AMOUNTS, UNPRUNED, WEIGHTS, Amount, pruning_methods, scores_weights
from .flags import Words
from .values import NOTHING, Wrong, refuse_values, subject_of

GRID = "method: [dsp, uniform], heads_to_keep: [24, 12], seed: [1, 2]"  # an example
EXAMPLES = {"method": "[dsp]", "heads_to_keep": "[24, 12]", "seed": "[1, 2]"}  # of the lists that a grid needs

Axis = Callable[[Any], list[Any]]


def one_or_more(example: str) -> str:
    """The remedy for an empty list."""
    return f"give one value or more, such as {example}"


def _axis(is_right: Callable[[Any], bool], allowed: str, example: str) -> Axis:
    """Reads one list of the grid; a single value needs no list."""

    def read(value: Any) -> list[Any]:
        if value == ():  # the key is not in the file
            return []
        if value is None or value == []:
            raise Wrong((NOTHING, one_or_more(example)))
        values = value if isinstance(value, list) else [value]
        none = {UNPRUNED: "; for the unpruned model say unpruned: true"}
        problems = [
            (value, allowed + (none.get(value, "") if isinstance(value, str) else ""))
            for value in values
            if not is_right(value)
        ]
        texts = list(map(str, values))
        twice = dict.fromkeys(text for text in texts if texts.count(text) > 1)
        refuse_values(problems + [(text, f"stands {texts.count(text)} times; once is enough") for text in twice])
        return values

    return read


def _method_axis() -> Callable[[Any], list[Any]]:
    known = pruning_methods()
    return _axis(known.__contains__, f"must be among {', '.join(known)}", EXAMPLES["method"])


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_seed(value: Any) -> bool:
    return _is_count(value) and value <= MOST_SEED


def _is_number_or_per_kind(kinds: Sequence[str]) -> Callable[[Any], bool]:
    """Checks the form only; fairseq-train checks that the model has so many heads or hidden units."""

    def is_right(value: Any) -> bool:
        if isinstance(value, str) and "=" in value:
            pairs = [part.partition("=") for part in value.split(",")]
            return sorted(kind for kind, _, _ in pairs) == sorted(kinds) and all(n.isdecimal() for _, _, n in pairs)
        return _is_count(value)

    return is_right


def _is_parameters(value: Any) -> bool:
    return _is_count(value) or (isinstance(value, str) and re.fullmatch(r"\d{1,3}(\.\d{1,9})?%", value) is not None)


def _is_share(value: Any) -> bool:
    return isinstance(value, str) and parsed_share(value) is not None


def grid_of_names(value: Any) -> Any:
    if not isinstance(value, dict):
        raise Wrong((value, f"must be {GRID}"))
    return {str(key): each for key, each in value.items()}


def _per_kind(kinds: Sequence[str], example: int) -> str:
    return ",".join(f"{kind}={example}" for kind in kinds)


def _heads(family: Family) -> Axis:
    allowed = f"must be a number of heads, or one for each kind of block: {_per_kind(family.kinds, 4)}"
    return _axis(_is_number_or_per_kind(family.kinds), allowed, EXAMPLES["heads_to_keep"])


def _units(family: Family) -> Axis:
    kinds = family.ffn_kinds
    if not kinds:
        return _axis(lambda _: False, f"{family.with_article} has no hidden units to choose from; leave it out", "")
    allowed = f"must be a number of hidden units, or one for each kind of block: {_per_kind(kinds, 512)}"
    return _axis(_is_number_or_per_kind(kinds), allowed, "[2048, 1024]")


def _layers(family: Family) -> Axis:
    stacks = [kind.partition(".")[0] for kind in family.layer_kinds]
    if not stacks:
        return _axis(lambda _: False, f"{family.with_article} keeps all its layers; leave it out", "")
    is_per_stack = _is_number_or_per_kind(stacks)
    allowed = f"must be a number of layers for each stack, between quotation marks: {_per_kind(stacks, 2)}"
    example = f'["{_per_kind(stacks, 2)}"]'
    return _axis(lambda value: isinstance(value, str) and "=" in value and is_per_stack(value), allowed, example)


def _parameters(family: Family) -> Axis:
    return _axis(_is_parameters, "must be a number of parameters, or a share such as 50%", "[50%, 25%]")


def _weights(family: Family) -> Axis:
    return _axis(_is_share, "must be a share of the weights below 100%, such as 50%", "[50%, 25%]")


def _amounts(axis: Callable[[Family], Axis]) -> BeforeValidator:
    """The values of a budget that the models of this sweep have, as words."""
    return BeforeValidator(lambda value, info: list(map(str, axis(subject_of(info).family)(value))))


_SEEDS = _axis(_is_seed, f"must be a whole number, 0 to {MOST_SEED}", EXAMPLES["seed"])


class Keys(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class Grid(Keys):
    """Every combination of a method, a value of one of the budgets, and a seed is a cell.

    Methods that score weights take the values of ``weights_to_keep``, the others those of the budgets.
    """

    method: Annotated[Words, BeforeValidator(lambda value: _method_axis()(value))]
    heads_to_keep: Annotated[Words, _amounts(_heads)] = ()
    ffn_to_keep: Annotated[Words, _amounts(_units)] = ()
    layers_to_keep: Annotated[Words, _amounts(_layers)] = ()
    parameters_to_keep: Annotated[Words, _amounts(_parameters)] = ()
    weights_to_keep: Annotated[Words, _amounts(_weights)] = ()
    seed: Annotated[tuple[int, ...], BeforeValidator(_SEEDS)]

    @model_validator(mode="after")
    def _keeps_something(self) -> "Grid":
        if not self.amounts:
            raise Wrong(("heads_to_keep", NOTHING, ""))
        lists = {True: f"{WEIGHTS}, such as [50%, 25%]", False: "heads_to_keep or another budget"}
        problems: list[tuple[Any, ...]] = [
            ("method", method, f"nothing says how much it keeps; give grid.{lists[scores_weights(method)]}")
            for method in self.method
            if not self.amounts_of(scores_weights(method))
        ]
        if self.weights_to_keep and not any(map(scores_weights, self.method)):
            why = "no method of the grid counts weights; add movement to grid.method, or leave this out"
            problems.append((WEIGHTS, ", ".join(self.weights_to_keep), why))
        refuse_values(problems)
        return self

    @property
    def amounts(self) -> tuple[Amount, ...]:
        return tuple(Amount(option, value) for option in AMOUNTS for value in getattr(self, option, ()))

    def amounts_of(self, weights: bool) -> tuple[Amount, ...]:
        """What methods that score weights keep, or what the others do."""
        return tuple(amount for amount in self.amounts if (amount.option == WEIGHTS) == weights)
