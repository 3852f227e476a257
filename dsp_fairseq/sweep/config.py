"""Reads the YAML file of a sweep, and reports what is wrong with it."""

import os
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, ValidationError
from pydantic import ValidationInfo as Info

from dsp_fairseq_startup.scoring.command import lines_of, what_is_wrong

from ..errors import BadInput
from ..families import Family, families, family_of
from .amounts import Amount
from .evaluation import DECODING, EVALUATIONS, Evaluation
from .flags import Words, is_name, names, read_flags, value_of, wrong_character
from .grid import EXAMPLES, GRID, Grid, Keys, grid_of_names, one_or_more
from .key_flags import (
    FLAGS_OF_CELLS,
    NOT_IN_EVALUATE,
    NOT_IN_GENERATE,
    after_flags,
    dense_flags,
    distillation_flags,
    flags_from_unpruned,
    flags_of,
    flags_of_methods,
    training_flags,
    tuning_flags,
    variant_flags,
    without_the_others,
)
from .values import NOTHING, Subject, Wrong, refuse_values, subject_of, yes_or_no
from .yaml_file import load

_NO_BLEU4 = ("--sacrebleu", "--scoring")
DATA = "the one that fairseq-preprocess wrote (its --destdir)"
# the remedy for a missing key
MISSING = {
    "data": f"name a folder, {DATA}",
    "out": "name a folder, such as sweep",
    "train": FLAGS_OF_CELLS,
    "grid": f"give {GRID}",
    **{f"grid.{name}": one_or_more(example) for name, example in EXAMPLES.items()},
}
_MAY_BE_EMPTY = (
    *("data", "out", "train", "generate", "evaluate", "grid", "method_flags", "dense", "variants", "from_unpruned"),
    *("distillation", "after", "tune"),
)


_NO_FLAGS: Any = Field(default_factory=list)  # the validators make words of it


def _text(example: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if not isinstance(value, str) or not value:
            raise Wrong((value, f"must be the name of a folder, {example}"))
        if not is_name(value):
            raise Wrong(wrong_character(value))
        return value

    return read


def _folder(value: str) -> str:
    if not os.path.isdir(value):
        raise Wrong((value, f"is no folder; give {DATA}"))
    return value


def _one_path(value: str) -> str:
    if os.pathsep in value:
        raise Wrong((value, f"fairseq takes {os.pathsep} for the end of a path; choose another folder"))
    return value


def _reference(value: Any, info: Info) -> str | None:
    if value == "fairseq":
        remedy = "fairseq prints no BLEU4 then; leave it out, or say score: {sacrebleu: FILE}"
        words = set(names(info.data.get("generate", ()))).intersection(_NO_BLEU4)
        refuse_values([("generate", name, remedy) for name in words])
        return None
    if not (isinstance(value, dict) and list(value) == ["sacrebleu"] and isinstance(value["sacrebleu"], str)):
        raise Wrong((value, "must be fairseq, or {sacrebleu: FILE} with the text of the reference"))
    path, (family, evaluation) = value["sacrebleu"], subject_of(info)
    if evaluation is not DECODING:
        raise Wrong(("sacrebleu", path, f"{family.with_article} does not translate; leave it out"))
    if not os.path.isfile(path):
        raise Wrong(("sacrebleu", path, "is no file; name the text of the reference"))
    try:
        lines_of(path)
    except (OSError, UnicodeDecodeError) as error:
        raise Wrong(("sacrebleu", path, what_is_wrong(error))) from error
    return path


class Config(Keys):
    """One sweep; the fields are the keys of its file."""

    data: Annotated[str, PlainValidator(_text(DATA)), AfterValidator(_folder)]
    out: Annotated[str, PlainValidator(_text("such as sweep")), AfterValidator(_one_path)]
    train: Annotated[Words, PlainValidator(training_flags)]
    generate: Annotated[Words, PlainValidator(flags_of("fairseq-generate", NOT_IN_GENERATE))] = _NO_FLAGS
    evaluate: Annotated[Words, PlainValidator(flags_of("fairseq-eval-lm", NOT_IN_EVALUATE))] = _NO_FLAGS
    grid: Annotated[Grid, BeforeValidator(grid_of_names)]
    unpruned: Annotated[bool, PlainValidator(yes_or_no)] = False
    method_flags: Annotated[Mapping[str, Words], PlainValidator(flags_of_methods)] = Field(default_factory=dict)
    dense: Annotated[Mapping[str, Words], PlainValidator(dense_flags)] = Field(default_factory=dict)
    variants: Annotated[Mapping[str, Words], PlainValidator(variant_flags)] = Field(default_factory=dict)
    # flags of the trainings that start from the unpruned model; None: everything is trained from random weights
    from_unpruned: Annotated[Words | None, PlainValidator(flags_from_unpruned)] = None
    distillation: Annotated[Words | None, PlainValidator(distillation_flags)] = None
    only_distilled: Annotated[bool, PlainValidator(without_the_others)] = False
    after: Annotated[Mapping[str, Words], PlainValidator(after_flags)] = Field(default_factory=dict)
    # flags for the models of all methods, or for those of each that it names
    tune: Annotated[Words | Mapping[str, Words], PlainValidator(tuning_flags)] = _NO_FLAGS
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
        yield f"{key} is missing: {MISSING[key]}"
    elif error["type"] == "extra_forbidden":
        known = Grid.model_fields if key.startswith("grid.") else Config.model_fields
        yield f"{key} {_shown(error['input'])}: unknown key; known are {', '.join(known)}"
    else:
        for *part, value, why in error["ctx"]["error"].problems:
            place = "generate" if part == ["generate"] else ".".join([key, *map(str, part)])
            yield (
                f"{place} is missing: {why or MISSING[place]}"
                if value is NOTHING
                else f"{place} {_shown(value)}: {why}"
            )


def _shown(value: Any) -> str:
    """The value in YAML, in one line of at most 60 characters."""
    text = value if isinstance(value, str) else yaml.safe_dump(value, default_flow_style=True, width=1000)
    text = " ".join(text.replace("\n...", "").split())
    return text if len(text) <= 60 else text[:57] + "..."
