"""The teacher of a distillation: which checkpoints can be one, and what it predicts."""

from argparse import Namespace
from typing import Any

import torch
from torch import Tensor

from dsp_fairseq_startup.errors import BadCheckpoint

from ..checkpoints.building import build_model, build_stock_model
from ..checkpoints.reading import load, model_options
from ..errors import BadInput, flag
from ..families import architecture_of, families, family_of, is_gated, known_family, known_models

WEIGHT, TEMPERATURE = "distillation_weight", "distillation_temperature"
RANGES = {WEIGHT: (0.0, 1.0), TEMPERATURE: (1e-3, 1e3)}


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
            state = load(self._path)
            self._model, self._family = _model_of(state).to(like.device, like.dtype), known_family(model_options(state))
        with torch.no_grad():
            return self._family.logits(self._model, net_input)


def _model_of(state: dict[str, Any]) -> Any:
    build = build_model if is_gated(model_options(state)) else build_stock_model
    with torch.random.fork_rng(devices=[]):  # the first weights are random; the student's dropout stays as it is
        # nothing asks for a gradient, but a stock model is slower where none is allowed (flat_output.py)
        return build(state).requires_grad_()


def teacher_problems(args: Namespace, has_data: bool = True) -> list[str]:
    """What keeps the options of distillation from being followed, one line each.

    Args:
        has_data: whether the data folder of the training was found to be one.
    """
    path = getattr(args, "teacher", None)
    given = {name: getattr(args, name, None) for name in RANGES}
    given = {name: value for name, value in given.items() if value is not None}
    if path is None:
        remedy = "without --teacher there is nothing to learn from; name a checkpoint with --teacher, or leave it out"
        return [f"{flag(name)} {value}: {remedy}" for name, value in given.items()]
    problems = [
        f"{flag(name)} {value}: must be {low:g} to {high:g}"
        for name, value in given.items()
        for low, high in [RANGES[name]]
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high
    ]
    try:
        state = load(path)
    except (BadInput, BadCheckpoint) as error:
        return problems + [f"--teacher: {line}" for line in str(error).splitlines()]
    options = model_options(state)
    family, own = family_of(options), family_of(args)
    if family is None:
        name = architecture_of(options) or "an unknown model"
        problems.append(f"--teacher {path}: is of {name}; must be of {known_models()}")
    elif own is not None and own.training_task != family.training_task:
        likes = " or ".join(each.model for each in families() if each.training_task == own.training_task)
        problems.append(
            f"--teacher {path}: is of {architecture_of(options)}, which does not read what {own.with_article} reads; "
            f"must be of {likes} or its stock model"
        )
    elif has_data:
        problems += family.teacher_problems(path, state, options, args)
    return problems
