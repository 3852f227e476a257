"""The teacher of a distillation: which checkpoints can be one, and what it predicts."""

import logging
import os
from argparse import Namespace
from typing import Any

import torch
from fairseq.data import Dictionary
from fairseq.data.data_utils import infer_language_pair
from torch import Tensor

from dsp_fairseq_startup.errors import BadCheckpoint

from ..checkpoints.building import build_model, build_stock_model
from ..checkpoints.reading import load, model_options
from ..checkpoints.schema import options_of
from ..errors import BadInput, flag
from ..families import architecture_of, family_of, is_gated, known_models

logger = logging.getLogger(__name__)
SIDES = ("source", "target")
WEIGHT, TEMPERATURE = "distillation_weight", "distillation_temperature"
_RANGES = {WEIGHT: (0.0, 1.0), TEMPERATURE: (1e-3, 1e3)}


class Teacher:
    """The model of a checkpoint, in evaluation mode and without gradient.

    It is not a torch module, so a criterion that holds one neither saves nor optimises nor counts its weights.
    """

    def __init__(self, path: str):
        self._path = path
        self._model: Any = None  # loaded at the first batch of a training: decoding needs no teacher

    def logits(self, net_input: dict[str, Tensor], like: Tensor) -> Tensor:
        """Logits [batch, target, types] on the device and in the precision of ``like``, a weight of the student."""
        if self._model is None:
            self._model = _model_of(load(self._path)).to(like.device, like.dtype)
        with torch.no_grad():
            return self._model(**net_input)[0]


def _model_of(state: dict[str, Any]) -> Any:
    build = build_model if is_gated(model_options(state)) else build_stock_model
    with torch.random.fork_rng(devices=[]):  # the first weights are random; the student's dropout stays as it is
        return build(state).requires_grad_(False)


def teacher_problems(args: Namespace) -> list[str]:
    """What keeps the options of distillation from being followed, one line each."""
    path = getattr(args, "teacher", None)
    given = {name: getattr(args, name, None) for name in _RANGES}
    given = {name: value for name, value in given.items() if value is not None}
    if path is None:
        remedy = "without --teacher there is nothing to learn from; name a checkpoint with --teacher, or leave it out"
        return [f"{flag(name)} {value}: {remedy}" for name, value in given.items()]
    problems = [
        f"{flag(name)} {value}: must be {low:g} to {high:g}"
        for name, value in given.items()
        for low, high in [_RANGES[name]]
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high
    ]
    try:
        return problems + _checkpoint_problems(args, path, load(path))
    except (BadInput, BadCheckpoint) as error:
        return problems + [f"--teacher: {line}" for line in str(error).splitlines()]


def _checkpoint_problems(args: Namespace, path: str, state: dict[str, Any]) -> list[str]:
    options = model_options(state)
    family, name = family_of(options), f"--teacher {path}"
    if family is None:
        return [f"{name}: is of {architecture_of(options) or 'an unknown model'}; must be {known_models()}"]
    if getattr(options, "adaptive_softmax_cutoff", None):
        return [f"{name}: has an adaptive softmax, which gives no logits of all words; train one without"]
    problems = [
        f"--max-{side}-positions {getattr(args, f'max_{side}_positions', None)}: {name} has learned positions up to "
        f"{longest}; say --max-{side}-positions {longest}"
        for side, stack in zip(SIDES, family.parts, strict=False)
        if getattr(options, f"{stack}_learned_pos", False)
        for longest in [getattr(options, f"max_{side}_positions", None)]
        if longest is not None and (getattr(args, f"max_{side}_positions", None) or longest) > longest
    ]
    task = family.task_of(state["model"], int)
    sizes = [getattr(task, f"{side}_dictionary") for side in SIDES]
    return problems + _word_problems(name, sizes, _task_options(state), args)


def _task_options(state: dict[str, Any]) -> Namespace:
    return Namespace(**options_of((state.get("cfg") or {}).get("task") or state.get("args")))


def _word_problems(name: str, sizes: list[int], there: Namespace, here: Namespace) -> list[str]:
    """Lines when a row of the teacher's embeddings means another word than here, as far as dictionaries tell.

    Args:
        name: of the teacher in messages.
        sizes: rows of its source and target embedding.
        there, here: options of the task that it was trained on, and of this training.
    """
    languages, own_languages = _languages(there), _languages(here)
    if languages != own_languages and all((*languages, *own_languages)):
        of_both = [" to ".join(pair) for pair in (languages, own_languages)]
        return [f"{name}: translates {of_both[0]}, but this training is of {of_both[1]}; give a teacher of the same"]
    remedy = "give one that was trained with the same dictionaries"
    files, own_files = _dictionaries(there, languages), _dictionaries(here, own_languages)
    problems = []
    for side, size, path, own_path in zip(SIDES, sizes, files, own_files, strict=True):
        words, own = _words(path), _words(own_path)
        if own is None:  # refused for itself
            continue
        if len(own) != size:
            problems.append(f"{name}: knows {size} {side} words, but {own_path} has {len(own)}; {remedy}")
        elif words is None or len(words) != size:
            logger.warning("%s: its dictionary %s is not there to compare with %s", name, path, own_path)
        elif words != own:
            place = next(i for i, pair in enumerate(zip(words, own, strict=True)) if pair[0] != pair[1])
            problems.append(
                f"{name}: word {place} of its dictionary {path} is {words[place]!r}, but {own[place]!r} in {own_path}; "
                f"{remedy}"
            )
    return problems


def _folder(task: Namespace) -> str:
    return (getattr(task, "data", None) or "").split(os.pathsep)[0]


def _languages(task: Namespace) -> tuple[str, ...]:
    """Source and target as the options say, else as the names of the files do; empty: not known."""
    languages = [getattr(task, f"{side}_lang", None) for side in SIDES]
    if None in languages and os.path.isdir(_folder(task)):
        languages = infer_language_pair(_folder(task))
    return tuple(language or "" for language in languages)


def _dictionaries(task: Namespace, languages: tuple[str, ...]) -> list[str]:
    return [os.path.join(_folder(task), f"dict.{language}.txt") for language in languages]


def _words(path: str) -> list[str] | None:
    """The words of a dictionary in their order; None when it cannot be read."""
    try:
        return Dictionary.load(path).symbols
    except Exception:  # so bare does fairseq raise it for bytes that are not UTF-8
        return None
