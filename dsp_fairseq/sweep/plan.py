"""The cells of a sweep, and the commands of each."""

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..families.transformer.words import CRITERION, TASK
from .config import PIPELINED, RANGE, SCORE, UNPRUNED, Config, Words, names

TRAIN, GENERATE, VALIDATE, OWN = "fairseq-train", "fairseq-generate", "fairseq-validate", "dsp-fairseq"
# flags of the training that a validation of its model needs as well
_OF_DATA = ("--max-tokens", "--batch-size", "--cpu", "--fp16", "--num-workers", "--source-lang", "--target-lang")


@dataclass(frozen=True)
class Files:
    """The files in the folder of one cell."""

    folder: str

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
        """The JSON lines of fairseq-train over all its restarts, or those of fairseq-validate."""
        return self.file("train.log")

    @property
    def train_output(self) -> str:
        """Everything that the last command printed that makes the checkpoint."""
        return self.file("train.txt")

    @property
    def translations(self) -> str:
        """What a finished fairseq-generate printed."""
        return self.file("generate.txt")

    @property
    def generate_log(self) -> str:
        """Messages and errors of fairseq-generate."""
        return self.file("generate.log")


@dataclass(frozen=True)
class Cell(Files):
    """One model: the commands that make its checkpoint, and its decoding."""

    method: str  # pruning method, or how the heads of a trained model are chosen; names a line of the table
    heads_to_keep: str | None  # as the option of training; None: all
    seed: int
    flags: dict[str, Any]  # what makes the cell what it is, wherever its folder lies
    train: Words  # makes the checkpoint: fairseq-train, or dsp-fairseq
    generate: Words
    before: Words = ()  # runs before `train`: removes the pruned heads of the checkpoint to start from
    validate: Words = ()  # the validation of a checkpoint that needs no training
    start: "Cell | None" = field(default=None, repr=False)  # the cell whose checkpoint this one starts from

    @property
    def trains(self) -> bool:
        return self.train[:1] == (TRAIN,)


def cells_of(config: Config) -> list[Cell]:
    """The unpruned cells, then those of the grid, then those whose heads are chosen afterwards, then the tuned ones."""
    grid = [(heads, seed) for heads in config.heads_to_keep for seed in config.seeds]
    bases = {seed: trained(config, UNPRUNED, None, seed) for seed in config.seeds}
    from_unpruned = any(RANGE not in names(flags) for flags in config.after.values())
    cells = [*bases.values()] if config.unpruned or from_unpruned else []
    cells += [trained(config, method, *place) for method in config.methods for place in grid]
    for name, flags in config.after.items():
        starts = {seed: any_heads(config, name, seed) for seed in config.seeds} if RANGE in names(flags) else bases
        cells += [*starts.values()] if RANGE in names(flags) else []
        cells += [afterwards(config, name, heads, seed, starts[seed]) for heads, seed in grid]
    if config.tune:
        cells += [tuned(config, cell) for cell in cells if RANGE not in names(cell.train)]
    return cells


def trained(
    config: Config, method: str, heads: str | None, seed: int, name: str | None = None, extra: Words = ()
) -> Cell:
    """A training from random weights."""
    name = name or "-".join(filter(None, ("unpruned" if method == UNPRUNED else method, heads, f"seed{seed}")))
    flags = [*config.train, *config.method_flags.get(method, ()), *extra]
    own = {"--pruning-method": method, **_heads(heads), "--seed": str(seed)}
    return _training(config, name, (method, heads, seed), _with_task(flags) + _flat(own))


def any_heads(config: Config, method: str, seed: int, name: str | None = None, extra: Words = ()) -> Cell:
    """The training for a range of numbers of heads from which the cells of ``after.METHOD`` take theirs."""
    flags = config.after[method]
    heads = value_of(flags, RANGE) or ""
    name = name or f"{method}-{heads.replace(':', 'to')}-seed{seed}"
    own = {"--seed": str(seed)}
    return _training(config, name, (method, heads, seed), _with_task([*config.train, *flags, *extra]) + _flat(own))


def afterwards(
    config: Config, method: str, heads: str, seed: int, start: Cell, name: str | None = None, extra: Words = ()
) -> Cell:
    """Heads of the trained model ``start`` that are chosen as the flags of ``after.METHOD`` say."""
    name, flags = name or f"{method}-after-{heads}-seed{seed}", (*config.after[method], *extra)
    place, own = (f"{method}-after", heads, seed), [*flags, *_flat(_heads(heads))]
    if SCORE not in names(flags) and RANGE not in names(flags):
        own = _with_task([*config.train, *own]) + _flat({"--pruning-mode": PIPELINED, "--seed": str(seed)})
        return _training(config, name, place, own, start, ("--finetune-from-model", start.checkpoint))
    files = Files(os.path.join(config.out, name))
    if RANGE in names(flags):
        own = [*_flat(_heads(heads)), *extra]
        choose = [OWN, "prune", start.checkpoint, files.checkpoint, *own]
    else:
        own += _flat({"--seed": str(seed)})
        choose = [OWN, "importance", start.checkpoint, config.data, files.checkpoint, *own]
    given = [word for flag in _OF_DATA if flag in names(config.train) for word in _given(config.train, flag)]
    validate = [VALIDATE, config.data, *_user_dir(config.train), *given, "--path", files.checkpoint]
    validate += _flat({"--valid-subset": "valid", "--log-format": "json"})
    return _cell(config, files, place, own, [*choose, "--force"], start, validate=tuple(validate))


def tuned(config: Config, cell: Cell) -> Cell:
    """The model of ``cell`` without its pruned heads, trained on with the flags ``tune``."""
    label = f"tuned{value_of(config.tune, '--max-epoch') or ''}"
    method = "unpruned" if cell.method == UNPRUNED else cell.method
    place = f"{method}-{label}", cell.heads_to_keep, cell.seed
    own = _with_task([*config.train, *config.tune])
    own += _flat({"--pruning-method": UNPRUNED, "--seed": str(cell.seed)})
    name = f"{cell.name}-{label}"
    small = os.path.join(config.out, name, "small.pt")
    before = (OWN, "prune", cell.checkpoint, small, "--force")
    return _training(config, name, place, own, cell, ("--finetune-from-model", small), before)


Place = tuple[str, str | None, int]  # method, heads to keep, seed


def _training(
    config: Config,
    name: str,
    place: Place,
    own: list[str],
    start: Cell | None = None,
    from_model: Words = (),
    before: Words = (),
) -> Cell:
    files = Files(os.path.join(config.out, name))
    logs = ["--log-format", "json", "--log-file", files.train_log]
    train = [TRAIN, config.data, *_user_dir(config.train), *own, *from_model, "--save-dir", files.folder, *logs]
    return _cell(config, files, place, own, train, start, before=before)


def _cell(config: Config, files: Files, place: Place, own: list[str], train: list[str], start: Cell | None, **more):
    flags: dict[str, Any] = {"data": config.data, "train": own, "generate": list(config.generate)}
    if start:
        flags["start"] = {"name": start.name, **start.flags}
    generate = [GENERATE, config.data, *_user_dir(config.generate), *config.generate, "--path", files.checkpoint]
    return Cell(files.folder, *place, flags, tuple(train), tuple(generate), start=start, **more)


def _heads(heads: str | None) -> dict[str, str]:
    return {"--heads-to-keep": heads} if heads else {}


def _with_task(flags: list[str]) -> list[str]:
    """The flags of a training, and the plug-in's task and criterion unless there are others."""
    added = {"--task": TASK, "--criterion": CRITERION, "--no-epoch-checkpoints": None}
    return [*flags, *_flat({name: value for name, value in added.items() if name not in names(flags)})]


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


def _given(words: Words, name: str) -> list[str]:
    """A flag with its last value, if it has one."""
    value = value_of(words, name)
    return [name] if not value or value.startswith("--") else [name, value]


def as_shell(words: Words) -> str:
    return shlex.join(words)
