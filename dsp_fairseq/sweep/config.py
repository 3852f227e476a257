"""What a sweep's YAML file says, and what is wrong with it."""

import os
import re
import shlex
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import yaml

from dsp_fairseq_startup.scoring.command import lines_of, what_is_wrong

from ..errors import MOST_SEED, BadInput, refuse
from ..families.transformer import KINDS
from ..gates import methods

UNPRUNED = "none"  # the method of the trainings that `unpruned: true` adds
METHODS = tuple(name for name in methods.METHODS if name != UNPRUNED)
KEYS = ("data", "out", "train", "generate", "grid", "unpruned", "method_flags", "score")
GRID_KEYS = ("method", "heads_to_keep", "seed")

Words = tuple[str, ...]

_OWN = "the sweep sets it; leave it out"
# flags of fairseq-train that would make cells alike, or hide them from the sweep
_NOT_IN_TRAIN = {
    "--pruning-method": "the sweep sets it from grid.method; leave it out",
    "--heads-to-keep": "the sweep sets it from grid.heads_to_keep; leave it out",
    "--seed": "the sweep sets it from grid.seed; leave it out",
    "--save-dir": _OWN,
    "--log-file": _OWN,
    "--log-format": _OWN,
    "--no-save": "nothing could be decoded; leave it out",
    "--no-last-checkpoints": "the last checkpoint is what is decoded; leave it out",
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
_NO_BLEU4 = ("--sacrebleu", "--scoring")


class Config(NamedTuple):
    """One sweep."""

    data: str
    out: str
    train: Words
    generate: Words
    methods: Words
    heads_to_keep: Words
    seeds: tuple[int, ...]
    unpruned: bool = False
    method_flags: Mapping[str, Words] = MappingProxyType({})
    reference: str | None = None  # score with sacreBLEU against this text; None: fairseq's own BLEU4


def read_config(path: str, out: str | None = None) -> Config:
    """The file's content; ``out`` instead of what it says. Raises BadInput with all that is wrong, a line each."""
    content = _load(path)
    if not isinstance(content, dict):
        raise BadInput(f"{path}: must hold keys and values ({', '.join(KEYS)}), holds {_shown(content)}")
    if out is not None:
        content["out"] = out
    reader = _Reader(content)
    config = reader.config()
    refuse(f"{path}: {problem}" for problem in reader.problems)
    return config


def _load(path: str) -> Any:
    try:
        with open(path, encoding="utf-8") as file:
            return yaml.load(file, _Loader)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise BadInput(f"{path}{line}: is not YAML: {error.problem}") from error
    except RecursionError as error:
        raise BadInput(f"{path}: is nested too deeply; a sweep needs three levels") from error
    except Exception as error:  # PyYAML lets what Python says of a wrong number or date through
        raise BadInput(f"{path}: is not YAML: {' '.join(str(error).split())}") from error


class _Loader(yaml.SafeLoader):
    """A key that stands twice is a mistake: PyYAML would take the last one and say nothing.

    So is a number that YAML reads as another one than people do: 012 is 10, 1:30 is 90, 0x10 is 16, 1_0 is 10.
    """

    def construct_yaml_int(self, node):
        if not re.fullmatch(r"[-+]?(0|[1-9]\d{0,17})", node.value):
            shown = node.value if len(node.value) <= 30 else node.value[:27] + "..."
            problem = f"{shown} is no plain number of at most 18 digits; write one, or put it between quotation marks"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
        return int(node.value)

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key, _ in node.value:
            if str(key.value) in seen:
                raise yaml.MarkedYAMLError(problem=f"{key.value} stands twice", problem_mark=key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


class _Reader:
    """Reads the values one by one and gathers what is wrong with them."""

    def __init__(self, content: dict[Any, Any]):
        self.content = content
        self.problems: list[str] = []

    def config(self) -> Config:
        self._unknown("", self.content, KEYS)
        data, out = self._folder("data"), self._text("out", "such as sweep")
        if out is not None and os.pathsep in out:
            self._wrong("out", out, f"fairseq takes {os.pathsep} for the end of a path; choose another folder")
        train, generate = self._words("train", self.content.get("train")), self._generate()
        if not train:
            self.problems.append("train is missing: give the flags of fairseq-train that all cells share, --arch first")
        elif "--arch" not in names(train):
            self._wrong("train", shlex.join(train), "--arch is missing, such as --arch gated_transformer_iwslt_de_en")
        self._forbidden("train", train, _NOT_IN_TRAIN)
        methods, heads, seeds = self._grid()
        unpruned = self._yes_or_no("unpruned")
        flags = self._method_flags([*methods, *([UNPRUNED] if unpruned else [])])
        return Config(data, out, train, generate, methods, heads, seeds, unpruned, flags, self._reference(generate))

    def _wrong(self, key: str, value: Any, why: str) -> None:
        self.problems.append(f"{key} {_shown(value)}: {why}")

    def _unknown(self, prefix: str, mapping: dict[Any, Any], known: tuple[str, ...]) -> None:
        for key in mapping:
            if key not in known:
                self._wrong(f"{prefix}{key}", mapping[key], f"unknown key; known are {', '.join(known)}")

    def _text(self, key: str, example: str) -> str | None:
        value = self.content.get(key)
        if value is None:
            self.problems.append(f"{key} is missing: name a folder, {example}")
        elif not isinstance(value, str) or not value:
            self._wrong(key, value, f"must be the name of a folder, {example}")
            return None
        return value if value is None or self._is_text(key, value) else None

    def _is_text(self, key: str, value: str) -> bool:
        """Whether a file may have this name, and a command this argument."""
        try:
            right = b"\0" not in os.fsencode(value)
        except UnicodeEncodeError:
            right = False
        if not right:
            self._wrong(key, ascii(value), "holds a character that no name may have; write it anew")
        return right

    def _folder(self, key: str) -> str | None:
        value = self._text(key, "the one that fairseq-preprocess wrote (its --destdir)")
        if value is not None and not os.path.isdir(value):
            self._wrong(key, value, "is no folder; give the one that fairseq-preprocess wrote (its --destdir)")
        return value

    def _yes_or_no(self, key: str) -> bool:
        value = self.content.get(key, False)
        if not isinstance(value, bool):
            self._wrong(key, value, "must be true or false")
        return value is True

    def _words(self, key: str, value: Any) -> Words:
        """Flags: a string that is split as a shell does, or a list of words."""
        if value is None:
            return ()
        if isinstance(value, str):
            if not self._is_text(key, value):
                return ()
            try:
                return tuple(shlex.split(value))
            except ValueError as error:
                self._wrong(key, value, f"{str(error).lower()}; close the quotation")
                return ()
        if not isinstance(value, list):
            self._wrong(key, value, "must be flags, as one string or as a list of words")
            return ()
        for word in value:
            if isinstance(word, bool) or not isinstance(word, (str, int, float)):
                self._wrong(key, word, "must be a word or a number; put it between quotation marks")
            elif isinstance(word, str) and not self._is_text(key, word):
                continue
            elif isinstance(word, str) and word.startswith("--") and " " in word:
                self._wrong(key, word, "is one word of the list; write a comma instead of the space")
        return tuple(map(str, value))

    def _forbidden(self, key: str, words: Words, forbidden: dict[str, str]) -> None:
        for name in names(words):
            if name in forbidden:
                self._wrong(key, name, forbidden[name])

    def _generate(self) -> Words:
        words = self._words("generate", self.content.get("generate"))
        self._forbidden("generate", words, _NOT_IN_GENERATE)
        return words

    def _grid(self) -> tuple[Words, Words, tuple[int, ...]]:
        grid = self.content.get("grid")
        if not isinstance(grid, dict):
            example = "method: [dsp, uniform], heads_to_keep: [24, 12], seed: [1, 2]"
            if grid is None:
                self.problems.append(f"grid is missing: give {example}")
            else:
                self._wrong("grid", grid, f"must be {example}")
            return (), (), ()
        self._unknown("grid.", grid, GRID_KEYS)
        methods = self._axis(grid, "method", lambda x: x in METHODS, f"must be among {', '.join(METHODS)}", "[dsp]")
        keeps = f"must be a number of heads, or one for each kind of block: {','.join(f'{kind}=4' for kind in KINDS)}"
        heads = self._axis(grid, "heads_to_keep", _is_budget, keeps, "[24, 12]")
        seeds = self._axis(grid, "seed", _is_seed, f"must be a whole number, 0 to {MOST_SEED}", "[1, 2]")
        return tuple(methods), tuple(map(str, heads)), tuple(seeds)

    def _axis(self, grid: dict[str, Any], name: str, is_right, allowed: str, example: str) -> list[Any]:
        """One list of the grid, without what is wrong in it."""
        values = grid.get(name)
        if values is None or values == []:
            self.problems.append(f"grid.{name} is missing: give one value or more, such as {example}")
            return []
        values = values if isinstance(values, list) else [values]
        for value in values:
            if not is_right(value):
                none = "; for the unpruned model say unpruned: true" if value == UNPRUNED else ""
                self._wrong(f"grid.{name}", value, allowed + none)
        texts = list(map(str, values))
        for text in dict.fromkeys(text for text in texts if texts.count(text) > 1):
            self._wrong(f"grid.{name}", text, f"stands {texts.count(text)} times; once is enough")
        return [value for value in values if is_right(value)]

    def _method_flags(self, methods: list[str]) -> dict[str, Words]:
        given = self.content.get("method_flags") or {}
        if not isinstance(given, dict):
            self._wrong("method_flags", given, 'must be such as dsp-published: "--cooldown-updates 250"')
            return {}
        flags = {}
        for method, value in given.items():
            key = f"method_flags.{method}"
            if method not in methods:
                self._wrong(key, value, f"no cell has this method; those of the sweep are {', '.join(methods)}")
                continue
            flags[method] = self._words(key, value)
            self._forbidden(key, flags[method], _NOT_IN_TRAIN)
        return flags

    def _reference(self, generate: Words) -> str | None:
        value = self.content.get("score", "fairseq")
        if value == "fairseq":
            for name in set(names(generate)).intersection(_NO_BLEU4):
                remedy = "leave it out, or say score: {sacrebleu: FILE}"
                self._wrong("generate", name, f"fairseq prints no BLEU4 then; {remedy}")
            return None
        if not (isinstance(value, dict) and list(value) == ["sacrebleu"] and isinstance(value["sacrebleu"], str)):
            self._wrong("score", value, "must be fairseq, or {sacrebleu: FILE} with the text of the reference")
            return None
        if not os.path.isfile(value["sacrebleu"]):
            self._wrong("score.sacrebleu", value["sacrebleu"], "is no file; name the text of the reference")
            return None
        try:
            lines_of(value["sacrebleu"])
        except (OSError, UnicodeDecodeError) as error:
            self._wrong("score.sacrebleu", value["sacrebleu"], what_is_wrong(error))
        return value["sacrebleu"]


def names(words: Words) -> list[str]:
    """The flags among the words, without the values that --flag=value may carry."""
    return [word.partition("=")[0] for word in words if word.startswith("--")]


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_seed(value: Any) -> bool:
    return _is_count(value) and value <= MOST_SEED


def _is_budget(value: Any) -> bool:
    """The form; whether the model has so many heads is fairseq-train's question."""
    if isinstance(value, str) and "=" in value:
        pairs = [part.partition("=") for part in value.split(",")]
        return sorted(kind for kind, _, _ in pairs) == sorted(KINDS) and all(n.isdecimal() for _, _, n in pairs)
    return _is_count(value)


def _shown(value: Any) -> str:
    """As one would write it, in one line."""
    text = value if isinstance(value, str) else yaml.safe_dump(value, default_flow_style=True, width=1000)
    text = " ".join(text.replace("\n...", "").split())
    return text if len(text) <= 60 else text[:57] + "..."
