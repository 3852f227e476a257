"""Reads the YAML file of a sweep, and reports what is wrong with it."""

import os
import re
import shlex
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, NamedTuple, cast

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    model_validator,
)
from pydantic import ValidationInfo as Info

from dsp_fairseq_startup.scoring.command import lines_of, what_is_wrong

from ..errors import MOST_SEED, BadInput, flag
from ..families import Family, families, family_of
from ..families.transformer import STACKS
from ..gates.methods import METHODS
from ..gates.methods.movement import parsed_share
from ..option_names import BUDGETS
from ..training.teacher import RANGES
from .evaluation import DECODING, EVALUATIONS, Evaluation
from .flags import Words, is_name, names, read_flags, value_of, wrong_character
from .yaml_file import load

UNPRUNED = "none"  # the method of the trainings that `unpruned: true` adds
PIPELINED = "pipelined"  # the pruning mode of gates that learn in a trained model
HEADS_TO_KEEP = "heads_to_keep"
LAYERS = flag("layers_to_keep")  # the one budget that goes beside another one
WEIGHTS = "weights_to_keep"  # what methods that score weights keep, and no other method
AMOUNTS = (*BUDGETS, WEIGHTS)  # lists of the grid that say how much is kept
WITHOUT_SEED = ("magnitude",)  # scores of dsp-fairseq importance that draw nothing, and refuse a seed
SCORE, RANGE = "--score", "--heads-to-keep-range"  # flags that say how the heads of `after` are chosen


class Amount(NamedTuple):
    """How much a model keeps: one of AMOUNTS, and its value."""

    option: str
    value: str

    @property
    def label(self) -> str:
        """For names of folders: the number of heads, or the unit before the number."""
        text = self.value.replace("%", "pct")
        return text if self.option == HEADS_TO_KEEP else f"{self.option.removesuffix('_to_keep')}-{text}"

    @property
    def words(self) -> Words:
        return flag(self.option), self.value


_OWN = "the sweep sets it; leave it out"
# flags of fairseq-train that the sweep sets itself, or that would hide the results from it
_NOT_IN_TRAIN = {
    "--pruning-method": "the sweep sets it from grid.method; leave it out",
    **{flag(name): f"the sweep sets it from grid.{name}; leave it out" for name in AMOUNTS},
    LAYERS: "the unpruned model keeps all layers; give it in method_flags, or as grid.layers_to_keep",
    "--teacher": "the sweep sets it where distillation is given; leave it out",
    "--seed": "the sweep sets it from grid.seed; leave it out",
    "--save-dir": _OWN,
    "--log-file": _OWN,
    "--log-format": _OWN,
    "--no-save": "nothing could be evaluated; leave it out",
    "--no-last-checkpoints": "the last checkpoint is what is evaluated; leave it out",
    "--no-save-optimizer-state": "an interrupted training could not go on; leave it out",
    **dict.fromkeys(
        ("--restore-file", "--reset-optimizer", "--reset-dataloader", "--reset-meters", "--reset-lr-scheduler"),
        "an interrupted training would not go on; to start from a checkpoint say --finetune-from-model",
    ),
}
_NOT_IN_GENERATE = {
    "--path": _OWN,
    "--results-path": "the sweep reads what is printed; leave it out",
    "--quiet": "the sweep reads what is printed; leave it out",
}
_NOT_IN_EVALUATE = {
    "--path": _OWN,
    "--results-path": "the sweep reads what is printed; leave it out",
}
_NOT_IN_AFTER = {name: why for name, why in _NOT_IN_TRAIN.items() if name != "--pruning-method"} | {
    "--pruning-mode": _OWN,
    "--finetune-from-model": _OWN,
    "--json": _OWN,
}
_NOT_IN_VARIANTS = {
    name: why for name, why in _NOT_IN_TRAIN.items() if name not in ("--pruning-method", LAYERS, *map(flag, AMOUNTS))
}
_NOT_IN_TUNE = {**_NOT_IN_TRAIN, "--finetune-from-model": _OWN}
_NO_BLEU4 = ("--sacrebleu", "--scoring")


_FLAGS_OF_CELLS = "give the flags of fairseq-train that all cells share, --arch first"
_GRID = "method: [dsp, uniform], heads_to_keep: [24, 12], seed: [1, 2]"
_DATA = "the one that fairseq-preprocess wrote (its --destdir)"
# the remedy for a missing key
_MISSING = {
    "data": f"name a folder, {_DATA}",
    "out": "name a folder, such as sweep",
    "train": _FLAGS_OF_CELLS,
    "grid": f"give {_GRID}",
    "grid.method": "give one value or more, such as [dsp]",
    "grid.heads_to_keep": "give one value or more, such as [24, 12]",
    "grid.ffn_to_keep": "give one value or more, such as [2048, 1024]",
    "grid.layers_to_keep": f'give one value or more, such as ["{",".join(f"{stack}=2" for stack in STACKS)}"]',
    "grid.parameters_to_keep": "give one value or more, such as [50%, 25%]",
    "grid.weights_to_keep": "give one value or more, such as [50%, 25%]",
    "grid.seed": "give one value or more, such as [1, 2]",
}


class Subject(NamedTuple):
    """What all models of a sweep have in common; the validators have it as their context."""

    family: Family
    evaluation: Evaluation


def _subject(info: Info) -> Subject:
    return cast(Subject, info.context)


_NOTHING = object()  # stands for a missing value


class _Wrong(ValueError):
    """All problems of one key, each a tuple: further parts of the key if it has any, value, reason with remedy."""

    def __init__(self, *problems: tuple[Any, ...]):
        super().__init__()
        self.problems = problems


def _refuse(problems: Sequence[tuple[Any, ...]]) -> None:
    if problems:
        raise _Wrong(*problems)


def _text(example: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if not isinstance(value, str) or not value:
            raise _Wrong((value, f"must be the name of a folder, {example}"))
        if not is_name(value):
            raise _Wrong(wrong_character(value))
        return value

    return read


def _folder(value: str) -> str:
    if not os.path.isdir(value):
        raise _Wrong((value, f"is no folder; give {_DATA}"))
    return value


def _one_path(value: str) -> str:
    if os.pathsep in value:
        raise _Wrong((value, f"fairseq takes {os.pathsep} for the end of a path; choose another folder"))
    return value


def _forbidden(words: Words, forbidden: dict[str, str]) -> list[tuple[Any, str]]:
    return [(name, forbidden[name]) for name in names(words) if name in forbidden]


def _train(value: Any) -> Words:
    words, problems = read_flags(value)
    if not words:
        problems.append((_NOTHING, _FLAGS_OF_CELLS))
    elif "--arch" not in names(words):
        problems.append((shlex.join(words), "--arch is missing, such as --arch gated_transformer_iwslt_de_en"))
    _refuse(problems + _forbidden(words, _NOT_IN_TRAIN))
    return words


def _of(command: str, forbidden: dict[str, str]) -> Callable[[Any, Info], Words]:
    """Reads the flags of a command that evaluates, if it is the one for the models of this sweep."""

    def read(value: Any, info: Info) -> Words:
        words, problems = read_flags(value)
        family, evaluation = _subject(info)
        if words and evaluation.command != command:
            remedy = f"{family.with_article} is evaluated by {evaluation.command}; give its flags as {evaluation.key}"
            raise _Wrong((shlex.join(words), remedy))
        _refuse(problems + _forbidden(words, forbidden))
        return words

    return read


def _axis(is_right: Callable[[Any], bool], allowed: str) -> Callable[[Any], list[Any]]:
    """Reads one list of the grid; a single value needs no list."""

    def read(value: Any) -> list[Any]:
        if value == ():  # the key is not in the file
            return []
        if value is None or value == []:
            raise _Wrong((_NOTHING, ""))
        values = value if isinstance(value, list) else [value]
        none = {UNPRUNED: "; for the unpruned model say unpruned: true"}
        problems = [
            (value, allowed + (none.get(value, "") if isinstance(value, str) else ""))
            for value in values
            if not is_right(value)
        ]
        texts = list(map(str, values))
        twice = dict.fromkeys(text for text in texts if texts.count(text) > 1)
        _refuse(problems + [(text, f"stands {texts.count(text)} times; once is enough") for text in twice])
        return values

    return read


def trained_methods() -> list[str]:
    """The registered methods that choose units, and so take a number of heads or another budget."""
    return [name for name in pruning_methods() if not scores_weights(name)]


def pruning_methods() -> list[str]:
    return [name for name in METHODS if name != UNPRUNED]


def scores_weights(method: str) -> bool:
    """Whether a method scores blocks of weights and chooses no units; ``method`` may be any name of the table."""
    return method in METHODS and METHODS[method].scores_weights


def _method_axis() -> Callable[[Any], list[Any]]:
    known = pruning_methods()
    return _axis(known.__contains__, f"must be among {', '.join(known)}")


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


def _is_grid(value: Any) -> Any:
    if not isinstance(value, dict):
        raise _Wrong((value, f"must be {_GRID}"))
    return {str(key): each for key, each in value.items()}


def _yes_or_no(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _Wrong((value, "must be true or false"))
    return value


def _method_flags(value: Any, info: Info) -> dict[str, Words]:
    value = value or {}
    if not isinstance(value, dict):
        raise _Wrong((value, 'must be such as dsp-published: "--cooldown-updates 250"'))
    grid, flags, problems = info.data.get("grid"), {}, []
    forbidden = {name: why for name, why in _NOT_IN_TRAIN.items() if name != LAYERS}
    if grid and grid.layers_to_keep:
        forbidden[LAYERS] = "grid.layers_to_keep says so too; leave out one of both"
    methods = [*grid.method, *[UNPRUNED] * info.data.get("unpruned", False)] if grid else None
    for method, given in value.items():
        if methods is not None and method not in methods:
            problems.append((method, given, f"no cell has this method; those of the sweep are {', '.join(methods)}"))
            continue
        flags[method], wrong = read_flags(given)
        problems += [(method, *problem) for problem in wrong + _forbidden(flags[method], forbidden)]
    _refuse(problems)
    return flags


def _named_flags(value: Any, example: str) -> tuple[dict[str, Words], list[tuple[Any, ...]]]:
    """Flags by a name that the file chooses, and their problems."""
    value = value or {}
    if not isinstance(value, dict):
        raise _Wrong((value, f"must be such as {example}"))
    flags, problems = {}, []
    for name, given in value.items():
        flags[name], wrong = read_flags(given)
        if not re.fullmatch(r"[a-z][a-z0-9-]*", str(name)):
            wrong.append((given, "its name must be small letters, digits and hyphens"))
        problems += [(name, *problem) for problem in wrong]
    return flags, problems


def _dense(value: Any) -> dict[str, Words]:
    flags, problems = _named_flags(value, 'tiny: "--arch gated_transformer_tiny"')
    for name, words in flags.items():
        if name in METHODS or name == "unpruned":
            problems.append((name, shlex.join(words), "is the name of a method; choose another one"))
        problems += [(name, *problem) for problem in _forbidden(words, _NOT_IN_TRAIN)]
    _refuse(problems)
    return flags


def _variants(value: Any, info: Info) -> dict[str, Words]:
    flags, problems = _named_flags(value, 'unscaled: "--pruning-method dsp --heads-to-keep 12 --output-scaling off"')
    for name, words in flags.items():
        if name in METHODS or name == "unpruned" or name in info.data.get("dense", ()):
            problems.append((name, shlex.join(words), "is the name of other models; choose another one"))
        method = value_of(words, "--pruning-method")
        if method not in pruning_methods():
            told = f"must have --pruning-method with one of {', '.join(pruning_methods())}"
            problems.append((name, shlex.join(words), told))
        problems += [(name, *problem) for problem in _forbidden(words, _NOT_IN_VARIANTS)]
    _refuse(problems)
    return flags


def _from_unpruned(value: Any) -> Words | None:
    """None: everything is trained from random weights."""
    if value is None or value is False:
        return None
    words, problems = ((), []) if value is True else read_flags(value)
    _refuse(problems + _forbidden(words, _NOT_IN_TUNE))
    return words


def _distillation(value: Any) -> Words | None:
    """None: there are no models that learn from the unpruned one."""
    if value is None:
        return None
    words, problems = read_flags(value)
    known = {flag(name): limits for name, limits in RANGES.items()}
    if not words or set(names(words)) - set(known):
        problems.append((shlex.join(words), f"must be one or more of {', '.join(known)}, each with its value"))
    _refuse(problems)
    for name in dict.fromkeys(names(words)):
        low, high = known[name]
        if (
            not re.fullmatch(r"\d+(\.\d+)?", value_of(words, name) or "")
            or not low <= float(value_of(words, name) or 0) <= high
        ):
            problems.append((f"{name} {value_of(words, name)}", f"must be {low:g} to {high:g}"))
    _refuse(problems)
    return words


def _only_distilled(value: Any, info: Info) -> bool:
    only = _yes_or_no(value)
    if only and info.data.get("distillation", ()) is None:
        raise _Wrong((value, "there is no distillation; give it, such as --distillation-weight 0.5"))
    return only


def _after(value: Any, info: Info) -> dict[str, Words]:
    flags, problems = _named_flags(value, f'magnitude: "{SCORE} magnitude"')
    grid = info.data.get("grid")
    if flags and grid and not grid.amounts_of(weights=False):
        problems.append((", ".join(flags), "choose units; give grid.heads_to_keep or another budget"))
    wrong = {problem[0] for problem in problems}
    for name, words in flags.items():
        if name not in wrong and not {SCORE, RANGE, "--pruning-method"}.intersection(names(words)):
            remedy = f"must have {SCORE} (of dsp-fairseq importance), --pruning-method or {RANGE} LO:HI"
            problems.append((name, shlex.join(words), remedy))
        problems += [(name, *problem) for problem in _forbidden(words, _NOT_IN_AFTER)]
    _refuse(problems)
    return flags


def _tune(value: Any, info: Info) -> Words | dict[str, Words]:
    if not isinstance(value, dict):
        words, problems = read_flags(value)
        _refuse(problems + _forbidden(words, _NOT_IN_TUNE))
        return words
    names_of = [info.data.get(key) or () for key in ("dense", "variants", "after")]
    grid = info.data.get("grid")
    known = [UNPRUNED, *(name for of in names_of for name in of), *(grid.method if grid else ())]
    flags, wrong = {}, []
    for name, given in value.items():
        flags[name], problems = read_flags(given)
        wrong += [(name, *problem) for problem in problems + _forbidden(flags[name], _NOT_IN_TUNE)]
        if name not in known and grid:
            wrong.append((name, given, f"no cell has this method; those of the sweep are {', '.join(known)}"))
    _refuse(wrong)
    return flags


def _reference(value: Any, info: Info) -> str | None:
    if value == "fairseq":
        remedy = "fairseq prints no BLEU4 then; leave it out, or say score: {sacrebleu: FILE}"
        words = set(names(info.data.get("generate", ()))).intersection(_NO_BLEU4)
        _refuse([("generate", name, remedy) for name in words])
        return None
    if not (isinstance(value, dict) and list(value) == ["sacrebleu"] and isinstance(value["sacrebleu"], str)):
        raise _Wrong((value, "must be fairseq, or {sacrebleu: FILE} with the text of the reference"))
    path, (family, evaluation) = value["sacrebleu"], _subject(info)
    if evaluation is not DECODING:
        raise _Wrong(("sacrebleu", path, f"{family.with_article} does not translate; leave it out"))
    if not os.path.isfile(path):
        raise _Wrong(("sacrebleu", path, "is no file; name the text of the reference"))
    try:
        lines_of(path)
    except (OSError, UnicodeDecodeError) as error:
        raise _Wrong(("sacrebleu", path, what_is_wrong(error))) from error
    return path


def _per_kind(kinds: Sequence[str], example: int) -> str:
    return ",".join(f"{kind}={example}" for kind in kinds)


Axis = Callable[[Any], list[Any]]


def _heads(family: Family) -> Axis:
    allowed = f"must be a number of heads, or one for each kind of block: {_per_kind(family.kinds, 4)}"
    return _axis(_is_number_or_per_kind(family.kinds), allowed)


def _units(family: Family) -> Axis:
    kinds = family.ffn_kinds
    if not kinds:
        return _axis(lambda _: False, f"{family.with_article} has no hidden units to choose from; leave it out")
    allowed = f"must be a number of hidden units, or one for each kind of block: {_per_kind(kinds, 512)}"
    return _axis(_is_number_or_per_kind(kinds), allowed)


def _layers(family: Family) -> Axis:
    stacks = [kind.partition(".")[0] for kind in family.layer_kinds]
    if not stacks:
        return _axis(lambda _: False, f"{family.with_article} keeps all its layers; leave it out")
    is_per_stack = _is_number_or_per_kind(stacks)
    allowed = f"must be a number of layers for each stack, between quotation marks: {_per_kind(stacks, 2)}"
    return _axis(lambda value: isinstance(value, str) and "=" in value and is_per_stack(value), allowed)


def _parameters(family: Family) -> Axis:
    return _axis(_is_parameters, "must be a number of parameters, or a share such as 50%")


def _weights(family: Family) -> Axis:
    return _axis(_is_share, "must be a share of the weights below 100%, such as 50%")


def _amounts(axis: Callable[[Family], Axis]) -> BeforeValidator:
    """The values of a budget that the models of this sweep have, as words."""
    return BeforeValidator(lambda value, info: list(map(str, axis(_subject(info).family)(value))))


_MAY_BE_EMPTY = (
    *("data", "out", "train", "generate", "evaluate", "grid", "method_flags", "dense", "variants", "from_unpruned"),
    *("distillation", "after", "tune"),
)


_NO_FLAGS: Any = Field(default_factory=list)  # the validators make words of it


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class Grid(_Model):
    """Every combination of a method, a value of one of the budgets, and a seed is a cell.

    Methods that score weights take the values of ``weights_to_keep``, the others those of the budgets.
    """

    method: Annotated[Words, BeforeValidator(lambda value: _method_axis()(value))]
    heads_to_keep: Annotated[Words, _amounts(_heads)] = ()
    ffn_to_keep: Annotated[Words, _amounts(_units)] = ()
    layers_to_keep: Annotated[Words, _amounts(_layers)] = ()
    parameters_to_keep: Annotated[Words, _amounts(_parameters)] = ()
    weights_to_keep: Annotated[Words, _amounts(_weights)] = ()
    seed: Annotated[tuple[int, ...], BeforeValidator(_axis(_is_seed, f"must be a whole number, 0 to {MOST_SEED}"))]

    @model_validator(mode="after")
    def _keeps_something(self) -> "Grid":
        if not self.amounts:
            raise _Wrong(("heads_to_keep", _NOTHING, ""))
        lists = {True: f"{WEIGHTS}, such as [50%, 25%]", False: "heads_to_keep or another budget"}
        problems: list[tuple[Any, ...]] = [
            ("method", method, f"nothing says how much it keeps; give grid.{lists[scores_weights(method)]}")
            for method in self.method
            if not self.amounts_of(scores_weights(method))
        ]
        if self.weights_to_keep and not any(map(scores_weights, self.method)):
            why = "no method of the grid counts weights; add movement to grid.method, or leave this out"
            problems.append((WEIGHTS, ", ".join(self.weights_to_keep), why))
        _refuse(problems)
        return self

    @property
    def amounts(self) -> tuple[Amount, ...]:
        return tuple(Amount(option, value) for option in AMOUNTS for value in getattr(self, option, ()))

    def amounts_of(self, weights: bool) -> tuple[Amount, ...]:
        """What methods that score weights keep, or what the others do."""
        return tuple(amount for amount in self.amounts if (amount.option == WEIGHTS) == weights)


class Config(_Model):
    """One sweep; the fields are the keys of its file."""

    data: Annotated[str, PlainValidator(_text(_DATA)), AfterValidator(_folder)]
    out: Annotated[str, PlainValidator(_text("such as sweep")), AfterValidator(_one_path)]
    train: Annotated[Words, PlainValidator(_train)]
    generate: Annotated[Words, PlainValidator(_of("fairseq-generate", _NOT_IN_GENERATE))] = _NO_FLAGS
    evaluate: Annotated[Words, PlainValidator(_of("fairseq-eval-lm", _NOT_IN_EVALUATE))] = _NO_FLAGS
    grid: Annotated[Grid, BeforeValidator(_is_grid)]
    unpruned: Annotated[bool, PlainValidator(_yes_or_no)] = False
    method_flags: Annotated[Mapping[str, Words], PlainValidator(_method_flags)] = Field(default_factory=dict)
    dense: Annotated[Mapping[str, Words], PlainValidator(_dense)] = Field(default_factory=dict)
    variants: Annotated[Mapping[str, Words], PlainValidator(_variants)] = Field(default_factory=dict)
    # flags of the trainings that start from the unpruned model; None: everything is trained from random weights
    from_unpruned: Annotated[Words | None, PlainValidator(_from_unpruned)] = None
    distillation: Annotated[Words | None, PlainValidator(_distillation)] = None
    only_distilled: Annotated[bool, PlainValidator(_only_distilled)] = False
    after: Annotated[Mapping[str, Words], PlainValidator(_after)] = Field(default_factory=dict)
    # flags for the models of all methods, or for those of each that it names
    tune: Annotated[Words | Mapping[str, Words], PlainValidator(_tune)] = _NO_FLAGS
    # score with sacreBLEU against this text; None: fairseq's own BLEU4
    score: Annotated[str | None, PlainValidator(_reference)] = "fairseq"

    @property
    def family(self) -> Family:
        """Of the unpruned model; the dense ones may be of another family."""
        return family_in(self.train)

    @property
    def evaluation(self) -> Evaluation:
        return EVALUATIONS[self.family.evaluated_by]

    @property
    def of_evaluation(self) -> Words:
        """Flags of the command that evaluates."""
        return getattr(self, self.evaluation.key)

    @property
    def methods(self) -> Words:
        return self.grid.method

    @property
    def amounts(self) -> tuple[Amount, ...]:
        return self.grid.amounts

    def tuning_of(self, method: str) -> Words:
        """The flags with which models of a method are trained on; empty if they are not."""
        return self.tune.get(method, ()) if isinstance(self.tune, Mapping) else self.tune

    @property
    def seeds(self) -> tuple[int, ...]:
        return self.grid.seed

    @property
    def reference(self) -> str | None:
        return self.score


def family_in(train: Words) -> Family:
    """The family of the architecture that flags name; any one where it is unknown, which is told later."""
    return family_of(Namespace(arch=value_of(train, "--arch"))) or families()[0]


def read_config(path: str, out: str | None = None, data: str | None = None) -> Config:
    """The content of the file, with ``out`` and ``data`` instead of its own if they are given.

    Raises BadInput with a line for every problem.
    """
    content = load(path)
    if not isinstance(content, dict):
        raise BadInput(f"{path}: must hold keys and values ({', '.join(Config.model_fields)}), holds {_shown(content)}")
    content |= {key: value for key, value in (("out", out), ("data", data)) if value is not None}
    family = family_in(read_flags(content.get("train"))[0])
    if family.evaluated_by not in EVALUATIONS:
        told = f"{family.with_article} is evaluated by none of {', '.join(EVALUATIONS)}, which a sweep needs"
        raise BadInput(f"{path}: train: {told}")
    # most keys without a value count as missing
    given = {str(key): value for key, value in content.items() if value is not None or key not in _MAY_BE_EMPTY}
    try:
        return Config.model_validate(given, context=Subject(family, EVALUATIONS[family.evaluated_by]))
    except ValidationError as error:
        lines = [f"{path}: {line}" for found in error.errors() for line in _lines(found)]
        raise BadInput("\n".join(lines)) from None


def _lines(error: Any) -> Iterator[str]:
    """A line for each problem that pydantic found: key, value, reason and remedy."""
    key = ".".join(map(str, error["loc"]))
    if error["type"] == "missing":
        yield f"{key} is missing: {_MISSING[key]}"
    elif error["type"] == "extra_forbidden":
        known = Grid.model_fields if key.startswith("grid.") else Config.model_fields
        yield f"{key} {_shown(error['input'])}: unknown key; known are {', '.join(known)}"
    else:
        for *part, value, why in error["ctx"]["error"].problems:
            place = "generate" if part == ["generate"] else ".".join([key, *map(str, part)])
            yield (
                f"{place} is missing: {why or _MISSING[place]}"
                if value is _NOTHING
                else f"{place} {_shown(value)}: {why}"
            )


def _shown(value: Any) -> str:
    """The value in YAML, in one line of at most 60 characters."""
    text = value if isinstance(value, str) else yaml.safe_dump(value, default_flow_style=True, width=1000)
    text = " ".join(text.replace("\n...", "").split())
    return text if len(text) <= 60 else text[:57] + "..."
