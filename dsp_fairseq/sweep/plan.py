"""The cells of a sweep, and the commands of each."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .amounts import HEADS_TO_KEEP, UNPRUNED, Amount, scores_weights
from .config import Config
from .evaluation import DECODING, Evaluation
from .flags import Words, given, names, value_of
from .key_flags import RANGE, SCORE

PIPELINED = "pipelined"  # the pruning mode of gates that learn in a trained model
WITHOUT_SEED = ("magnitude",)  # scores of dsp-fairseq importance that draw nothing, and refuse a seed
TRAIN, VALIDATE, OWN = "fairseq-train", "fairseq-validate", "dsp-fairseq"
DISTILLED = "-distilled"  # end of the method's name when the unpruned model is the teacher
AFTER = "-after"  # end of the method's name when units of the trained, unpruned model are chosen
CONTINUED = "-continued"  # end of the name of the unpruned model that trains on as those do that start from it
# flags of the training that a validation of its model needs as well
_OF_DATA = ("--max-tokens", "--batch-size", "--cpu", "--fp16", "--num-workers", "--source-lang", "--target-lang")


Place = tuple[str, Amount | None, int]  # method, what it keeps, seed


@dataclass(frozen=True)
class Files:
    """The files in the folder of one cell."""

    folder: str
    evaluation: Evaluation = field(default=DECODING, kw_only=True)

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
    def printed(self) -> str:
        """What a finished evaluation printed."""
        return self.file(f"{self.evaluation.key}.txt")

    @property
    def evaluation_log(self) -> str:
        """Messages and errors of the evaluation."""
        return self.file(f"{self.evaluation.key}.log")


@dataclass(frozen=True)
class Cell(Files):
    """One model: the commands that make its checkpoint, and its evaluation."""

    method: str  # pruning method, or how the heads of a trained model are chosen; names a line of the table
    amount: Amount | None  # what it keeps, as the option of training says it; None: everything
    seed: int
    flags: dict[str, Any]  # what makes the cell what it is, wherever its folder lies
    train: Words  # makes the checkpoint: fairseq-train, or dsp-fairseq
    evaluate: Words
    before: Words = ()  # runs before `train`: removes the pruned heads of the checkpoint to start from
    validate: Words = ()  # the validation of a checkpoint that needs no training
    start: "Cell | None" = field(default=None, repr=False)  # the cell whose checkpoint this one starts from
    teacher: "Cell | None" = field(default=None, repr=False)  # the cell whose model this one learns from
    teaching: Words = ()  # the words of `train` about the teacher

    @property
    def trains(self) -> bool:
        return self.train[:1] == (TRAIN,)

    @property
    def sources(self) -> "list[Cell]":
        """The cells that must be trained before this one."""
        return [cell for cell in (self.start, self.teacher) if cell]


def cells_of(config: Config) -> list[Cell]:
    """All cells of the sweep.

    In this order: unpruned, dense, those of the grid, variants, those that learn from the unpruned one, those whose
    heads are chosen afterwards, tuned.
    """
    bases = {seed: trained(config, UNPRUNED, None, seed) for seed in config.seeds}
    needed = any(RANGE not in names(flags) for flags in config.after.values())
    needed = needed or config.distillation is not None or config.from_unpruned is not None
    cells = [*bases.values()] if config.unpruned or needed else []
    starts = {} if config.from_unpruned is None else bases
    taught = [] if config.distillation is None else [bases]
    always = bases if config.only_distilled else {}
    if config.unpruned:
        cells += [continued(config, base, always.get(seed)) for seed, base in starts.items()]
    pruned: list[Place] = [
        (method, amount, seed)
        for method in config.methods
        for amount in config.grid.amounts_of(scores_weights(method))
        for seed in config.seeds
    ]
    pruned += [(variant, None, seed) for variant in config.variants for seed in config.seeds]
    for teachers in taught if config.only_distilled else [{}, *taught]:
        for dense in config.dense:
            cells += [trained(config, dense, None, seed, teacher=teachers.get(seed)) for seed in config.seeds]
        for method, amount, seed in pruned:
            cells.append(trained(config, method, amount, seed, teacher=teachers.get(seed), start=starts.get(seed)))
    grid = [(amount, seed) for amount in config.grid.amounts_of(weights=False) for seed in config.seeds]
    for name, flags in config.after.items():
        starts = {seed: any_heads(config, name, seed) for seed in config.seeds} if RANGE in names(flags) else bases
        cells += [*starts.values()] if RANGE in names(flags) else []
        cells += [afterwards(config, name, amount, seed, starts[seed]) for amount, seed in grid]
    trained_on = [cell for cell in cells if RANGE not in names(cell.train) and config.tuning_of(_named(cell))]
    return cells + [tuned(config, cell, always.get(cell.seed)) for cell in trained_on]


def _named(cell: Cell) -> str:
    """The name of the method, variant, dense model or choice, as the file has it."""
    return cell.method.removesuffix(DISTILLED).removesuffix(AFTER)


def trained(
    config: Config,
    method: str,
    amount: Amount | None,
    seed: int,
    name: str | None = None,
    extra: Words = (),
    teacher: Cell | None = None,
    start: Cell | None = None,
) -> Cell:
    """A training from random weights or those of ``start``; ``method`` may also name a dense model or a variant."""
    label = f"{method}{DISTILLED}" if teacher else method
    of_name = ["unpruned" if method == UNPRUNED else label, *([amount.label] if amount else []), f"seed{seed}"]
    flags = [*config.train, *config.dense.get(method, ()), *((config.from_unpruned or ()) if start else ())]
    flags += [*config.method_flags.get(method, ()), *config.variants.get(method, ()), *extra]
    own = {"--pruning-method": UNPRUNED if method in config.dense else method}
    own = {} if method in config.variants else own
    words = [*_with_task(config, flags), *_flat(own), *(amount.words if amount else ()), "--seed", str(seed)]
    place = label, amount, seed
    checkpoint = start.checkpoint if start else ""
    return _training(config, name or "-".join(of_name), place, words, start, checkpoint, teacher=teacher)


def continued(config: Config, start: Cell, teacher: Cell | None = None) -> Cell:
    """The unpruned model ``start``, trained on as the models are that are pruned from it."""
    own = [*_with_task(config, [*config.train, *(config.from_unpruned or ())])]
    own += _flat({"--pruning-method": UNPRUNED, "--seed": str(start.seed)})
    method = f"unpruned{CONTINUED}{DISTILLED if teacher else ''}"
    place = method, None, start.seed
    return _training(config, f"{method}-seed{start.seed}", place, own, start, start.checkpoint, teacher=teacher)


def any_heads(config: Config, method: str, seed: int, name: str | None = None, extra: Words = ()) -> Cell:
    """The training for a range of numbers of heads from which the cells of ``after.METHOD`` take theirs."""
    flags = config.after[method]
    amount = Amount(HEADS_TO_KEEP, value_of(flags, RANGE) or "")
    name = name or f"{method}-{amount.value.replace(':', 'to')}-seed{seed}"
    own = {"--seed": str(seed)}
    return _training(
        config, name, (method, amount, seed), _with_task(config, [*config.train, *flags, *extra]) + _flat(own)
    )


def afterwards(
    config: Config, method: str, amount: Amount, seed: int, start: Cell, name: str | None = None, extra: Words = ()
) -> Cell:
    """Heads of the trained model ``start`` that are chosen as the flags of ``after.METHOD`` say."""
    name, flags = name or f"{method}-after-{amount.label}-seed{seed}", (*config.after[method], *extra)
    place, own = (f"{method}{AFTER}", amount, seed), [*flags, *amount.words]
    if SCORE not in names(flags) and RANGE not in names(flags):
        own = _with_task(config, [*config.train, *own]) + _flat({"--pruning-mode": PIPELINED, "--seed": str(seed)})
        return _training(config, name, place, own, start, start.checkpoint)
    files = Files(os.path.join(config.out, name), evaluation=config.evaluation)
    if RANGE in names(flags):
        own = [*amount.words, *extra]
        choose = [OWN, "prune", start.checkpoint, files.checkpoint, *own]
    else:
        own += [] if value_of(flags, SCORE) in WITHOUT_SEED else _flat({"--seed": str(seed)})
        choose = [OWN, "importance", start.checkpoint, config.data, files.checkpoint, *own]
    of_data = [word for flag in _OF_DATA if flag in names(config.train) for word in given(config.train, flag)]
    validate = [VALIDATE, config.data, *_user_dir(config.train), *of_data, "--path", files.checkpoint]
    validate += _flat({"--valid-subset": "valid", "--log-format": "json"})
    return _cell(config, files, place, own, [*choose, "--force"], start, validate=tuple(validate))


def tuned(config: Config, cell: Cell, teacher: Cell | None = None) -> Cell:
    """The model of ``cell`` without its pruned heads, trained on with the flags ``tune``.

    Zeros that are left of masked weights are filled first, as Lagunas et al. (2021) do it.
    """
    flags = config.tuning_of(_named(cell))
    label = f"{DISTILLED if teacher and not cell.teacher else ''}-tuned{value_of(flags, '--max-epoch') or ''}"
    method = "unpruned" if cell.method == UNPRUNED else cell.method
    place = f"{method}{label}", cell.amount, cell.seed
    own = _with_task(config, [*config.train, *flags])
    own += _flat({"--pruning-method": UNPRUNED, "--seed": str(cell.seed)})
    name = f"{cell.name}{label}"
    small = os.path.join(config.out, name, "small.pt")
    fill = ["--fill"] if scores_weights(value_of(cell.train, "--pruning-method") or "") else []
    before = (OWN, "prune", cell.checkpoint, small, *fill, "--force")
    return _training(config, name, place, own, cell, small, before, teacher)


def _training(
    config: Config,
    name: str,
    place: Place,
    own: list[str],
    start: Cell | None = None,
    checkpoint: str = "",
    before: Words = (),
    teacher: Cell | None = None,
) -> Cell:
    """A cell of fairseq-train; ``checkpoint`` is where the weights of ``start`` are."""
    files = Files(os.path.join(config.out, name), evaluation=config.evaluation)
    teaching = ("--teacher", teacher.checkpoint, *(config.distillation or ())) if teacher else ()
    others = [*(("--finetune-from-model", checkpoint) if start else ()), *teaching]
    logs = ["--log-format", "json", "--log-file", files.train_log]
    train = [TRAIN, config.data, *_user_dir(config.train), *own, *others, "--save-dir", files.folder, *logs]
    more: dict[str, Any] = {"before": before, "teacher": teacher, "teaching": teaching}
    return _cell(config, files, place, own, train, start, **more)


def _cell(config: Config, files: Files, place: Place, own: list[str], train: list[str], start: Cell | None, **more):
    evaluation, given = config.evaluation, config.of_evaluation
    flags: dict[str, Any] = {"data": config.data, "train": own, evaluation.key: list(given)}
    if start:
        flags["start"] = {"name": start.name, **start.flags}
    if teacher := more.get("teacher"):
        flags["teacher"] = {"name": teacher.name, **teacher.flags, "distillation": list(config.distillation or ())}
    evaluate = [evaluation.command, config.data, *_user_dir(given), *given, "--path", files.checkpoint]
    return Cell(files.folder, *place, flags, tuple(train), tuple(evaluate), start=start, evaluation=evaluation, **more)


def _with_task(config: Config, flags: list[str]) -> list[str]:
    """The flags of a training, and the plug-in's task and criterion unless there are others."""
    family = config.family
    added: dict[str, str | None] = {
        "--task": family.training_task,
        "--criterion": family.training_criterions[0],
        "--no-epoch-checkpoints": None,
    }
    return [*flags, *_flat({name: value for name, value in added.items() if name not in names(flags)})]


def _flat(flags: Mapping[str, str | None]) -> list[str]:
    return [word for pair in flags.items() for word in pair if word is not None]


def _user_dir(given: Words) -> list[str]:
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return [] if "--user-dir" in names(given) else ["--user-dir", package]
