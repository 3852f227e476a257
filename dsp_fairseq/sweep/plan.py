"""Which cells a sweep has, and the commands of each."""

import os
import shlex
from collections.abc import Mapping
from typing import Any, NamedTuple

from ..training.preflight import CRITERION, TASK
from .config import UNPRUNED, Config, Words, names

TRAIN, GENERATE = "fairseq-train", "fairseq-generate"


class Cell(NamedTuple):
    """One training and its decoding."""

    method: str
    heads_to_keep: str | None  # as the option of training; None: all
    seed: int
    folder: str
    flags: dict[str, Any]  # what makes the cell what it is, wherever its folder lies
    train: Words
    generate: Words

    @property
    def name(self) -> str:
        return os.path.basename(self.folder)

    def file(self, name: str) -> str:
        return os.path.join(self.folder, name)

    @property
    def checkpoint(self) -> str:
        return self.file("checkpoint_last.pt")

    @property
    def train_log(self) -> str:
        """What fairseq-train logs as JSON, over all its restarts."""
        return self.file("train.log")

    @property
    def train_output(self) -> str:
        """All that the last fairseq-train printed."""
        return self.file("train.txt")

    @property
    def translations(self) -> str:
        """All that fairseq-generate printed, when it was finished."""
        return self.file("generate.txt")

    @property
    def generate_log(self) -> str:
        """What it said beside: messages and errors."""
        return self.file("generate.log")


def cells_of(config: Config) -> list[Cell]:
    """All cells: the unpruned ones first, then method by method, from many heads to few."""
    cells = [_cell(config, UNPRUNED, None, seed) for seed in config.seeds if config.unpruned]
    for method in config.methods:
        for heads in config.heads_to_keep:
            cells += [_cell(config, method, heads, seed) for seed in config.seeds]
    return cells


def _cell(config: Config, method: str, heads: str | None, seed: int) -> Cell:
    name = "-".join(part for part in ("unpruned" if method == UNPRUNED else method, heads, f"seed{seed}") if part)
    folder = os.path.join(config.out, name)
    flags = {"data": config.data, "train": _train_flags(config, method, heads, seed), "generate": list(config.generate)}
    logging = ["--log-format", "json", "--log-file", os.path.join(folder, "train.log")]
    train = [TRAIN, config.data, *_user_dir(config.train), *flags["train"], "--save-dir", folder, *logging]
    path = os.path.join(folder, "checkpoint_last.pt")
    generate = [GENERATE, config.data, *_user_dir(config.generate), *config.generate, "--path", path]
    return Cell(method, heads, seed, folder, flags, tuple(train), tuple(generate))


def _train_flags(config: Config, method: str, heads: str | None, seed: int) -> list[str]:
    given = [*config.train, *config.method_flags.get(method, ())]
    added = {"--task": TASK, "--criterion": CRITERION, "--no-epoch-checkpoints": None}
    flags = [*given, *_flat({name: value for name, value in added.items() if name not in names(given)})]
    own = {"--pruning-method": method, **({"--heads-to-keep": heads} if heads else {}), "--seed": str(seed)}
    return flags + _flat(own)


def _flat(flags: Mapping[str, str | None]) -> list[str]:
    return [word for pair in flags.items() for word in pair if word is not None]


def _user_dir(given: Words) -> list[str]:
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return [] if "--user-dir" in names(given) else ["--user-dir", package]


def value_of(words: Words, name: str) -> str | None:
    """The last value of a flag, None when it is not given."""
    found = None
    for word, after in zip(words, [*words[1:], ""], strict=True):
        if word == name:
            found = after
        elif word.startswith(f"{name}="):
            found = word.partition("=")[2]
    return found


def as_shell(words: Words) -> str:
    return shlex.join(words)
