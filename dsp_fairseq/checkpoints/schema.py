"""Checks the content of a loaded checkpoint before anything is built from it."""

from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from fairseq.dataclass.configs import FairseqConfig
from fairseq.models import ARCH_MODEL_NAME_REGISTRY
from torch import Tensor
from torch.overrides import TorchFunctionMode

from dsp_fairseq_startup.errors import BadCheckpoint, shown

from ..config import unpruned_options
from ..families import architecture_of, families, family_of, is_gated, known_family
from ..options.problems import model_problems

LOGITS = "gates.logits"

# parts of cfg that are tables of options in every checkpoint
_GROUPS = ("task", "criterion", *(part.name for part in fields(FairseqConfig) if is_dataclass(part.type)))
_DEEPEST, _MOST = 20, 100_000  # largest number of levels, and of values, in cfg
_FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
_NO_NUMBER = "._float_tensor"  # a tensor of which fairseq uses only the dtype; its value is never set
_WHOLE = ".version"  # a tensor of whole numbers, in the adaptive softmax


def model_options(state: Mapping[str, Any]) -> Namespace:
    """The options of the model in a loaded checkpoint.

    In a checkpoint of a stock model, options that are None get the defaults with which fairseq builds that model.
    """
    options = state["cfg"]["model"] if state.get("cfg") else state["args"]
    options = Namespace(**options) if isinstance(options, Mapping) else options
    family = family_of(options)
    if family is None or is_gated(options):
        return options
    defaults = {name: value for name, value in family.defaults.items() if getattr(options, name, value) is None}
    return Namespace(**{**vars(options), **defaults}) if defaults else options


def check(path: str, state: dict[str, Any]) -> None:
    """Raise BadCheckpoint, with one line per problem, when no model can be built from a loaded checkpoint.

    A checkpoint of a model outside the families is only checked for the presence of options and weights.
    """
    problems = _holder_problems(state) or _problems(state)
    if problems:
        raise BadCheckpoint("\n".join(f"checkpoint {path}: {problem}" for problem in problems))


def _holder_problems(state: dict[str, Any]) -> list[str]:
    if not isinstance(state["model"], dict) or not all(isinstance(name, str) for name in state["model"]):
        return ["its model is no table of weights by their names"]
    cfg, args = state.get("cfg"), state.get("args")
    if not cfg and not args:
        return ["has no cfg in it, the options of its training"]
    if cfg and not isinstance(cfg, Mapping):
        return [f"its cfg is {shown(cfg)}, no table of options"]
    options = cfg.get("model") if cfg else args
    if not isinstance(options, (Namespace, Mapping)) or not all(isinstance(name, str) for name in options_of(options)):
        return [f"the options of its model are {shown(options)}, no table of options"]
    return []


def _problems(state: dict[str, Any]) -> list[str]:
    options, weights = model_options(state), state["model"]
    gated = is_gated(options)
    if family_of(options) is None and LOGITS not in weights:
        return []  # a model outside the families
    if LOGITS in weights and not gated:
        wanted = " or ".join(known.model for known in families())
        return [f"--arch {shown(architecture_of(options) or None)}: {LOGITS} are in it; must be a {wanted}"]
    family = known_family(options)
    problems = _part_problems(state, gated) + _number_problems(weights)
    wrong_options = model_problems(options) if gated else family.type_problems(options)
    if gated:
        names = {name: getattr(options, name, None) for name in ("_name", "arch")}
        wrong_options += [
            f"{name} is {shown(value)}, no architecture of {family.model}"
            for name, value in names.items()
            if value is None or (isinstance(value, str) and ARCH_MODEL_NAME_REGISTRY.get(value) != family.model)
        ]
    problems += wrong_options
    if not problems and not family.unsupported(options):
        # the stock model has the weights of a gated one with these options, and copies for a fast path, not checked
        options = options if gated else Namespace(**{**vars(options), **unpruned_options()})
        problems += _shape_problems(options, weights)
    return problems


# --- everything but the weights


def _part_problems(state: dict[str, Any], gated: bool) -> list[str]:
    """Problems of the training state, and of the options outside the model."""
    problems = []
    if gated and state.get("args") is not None:
        problems.append("its args are those of fairseq 0.10 or older, which had no such model")
    for name in ("extra_state", "task_state", "last_optimizer_state"):
        allowed = (dict, type(None)) if name == "last_optimizer_state" else dict
        if not isinstance(state.get(name, {}), allowed):
            problems.append(f"its {name} is {shown(state[name])}, no table")
    if "optimizer_history" in state:
        problems += _history_problems(state, gated)
    if isinstance(state.get("extra_state"), dict):
        problems += _extra_problems(state["extra_state"])
    return problems + list(_cfg_problems(state.get("cfg") or {}))


def _history_problems(state: dict[str, Any], gated: bool) -> list[str]:
    history, problems = state["optimizer_history"], []
    if not isinstance(history, list) or not history or not all(isinstance(entry, dict) for entry in history):
        return [f"its optimizer_history is {shown(history)}, no list of tables"]
    last = history[-1]
    if not _is_count(last.get("num_updates", None if gated else 0)):
        problems.append(f"its number of updates is {shown(last.get('num_updates'))}, no whole number from 0")
    for name in ("criterion_name", "optimizer_name"):
        if not isinstance(last.get(name, ""), str):
            problems.append(f"its {name} is {shown(last[name])}, no name")
    if not isinstance(last.get("lr_scheduler_state", {}), dict):
        problems.append(f"its lr_scheduler_state is {shown(last['lr_scheduler_state'])}, no table")
    if "lr_scheduler_state" not in last and "best_loss" not in last:
        problems.append("has no lr_scheduler_state in it")
    if "extra_state" not in state and "epoch" not in state:
        problems.append("has no extra_state in it")
    return problems


def _extra_problems(extra: dict[str, Any]) -> list[str]:
    problems = []
    iterator = extra.get("train_iterator")
    if iterator is not None and not (isinstance(iterator, dict) and _is_count(iterator.get("epoch"))):
        problems.append(f"its train_iterator is {shown(iterator)}, which names no epoch")
    elif iterator is not None and not _is_count(iterator.get("iterations_in_epoch", 0)):
        problems.append(f"its iterations_in_epoch are {shown(iterator['iterations_in_epoch'])}, no whole number from 0")
    for name in ("previous_training_time", "val_loss", "best"):
        # older checkpoints hold a tensor of one number here
        if not isinstance(extra.get(name), (int, float, type(None))) and getattr(extra[name], "ndim", None) != 0:
            problems.append(f"its {name} is {shown(extra[name])}, no number")
    return problems


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _cfg_problems(cfg: Mapping[str, Any]) -> Iterator[str]:
    """Problems of ``cfg``, which must be nested tables of plain values with text keys.

    Text must not contain ``${``: omegaconf would look up references such as ``${env:HOME}``.
    """
    todo, values = [("cfg", cfg, 0)], 0
    while todo:
        name, value, depth = todo.pop()
        values += 1
        if depth > _DEEPEST or values > _MOST:  # this also ends the loop when a table contains itself
            yield f"{shown(name)} has more than {_DEEPEST} levels, or cfg more than {_MOST:,} values"
            return
        elif isinstance(value, Mapping):
            wrong = [key for key in value if not isinstance(key, str)]
            if wrong and name.count(".") <= 1:
                yield f"{name}: {shown(wrong[0])} in it is no name"
            todo += [(f"{name}.{key}", part, depth + 1) for key, part in options_of(value).items()]
        elif isinstance(value, (list, tuple)):
            todo += [(name, part, depth + 1) for part in value]
        elif isinstance(value, str) and "${" in value:
            yield f"{shown(name)} is {shown(value)}, which refers to something else"
    for name in _GROUPS:
        if not isinstance(cfg.get(name, {}), (Mapping, Namespace)):
            yield f"cfg.{name} is {shown(cfg[name])}, no table of options"
    task = options_of(cfg.get("task"))
    for name in ("data", "source_lang", "target_lang"):
        if not isinstance(task.get(name), (str, type(None))):
            yield f"cfg.task.{name} is {shown(task[name])}, no text"


def options_of(options: Any) -> dict[Any, Any]:
    """The options of a Namespace, an omegaconf container or another mapping as a dict; of anything else, no options."""
    if isinstance(options, Namespace):
        return vars(options)
    if hasattr(options, "items_ex"):  # an omegaconf container; its references are not looked up
        return dict(options.items_ex(resolve=False))
    return dict(options) if isinstance(options, Mapping) else {}


# --- weights


def _number_problems(weights: dict[str, Tensor]) -> list[str]:
    no_tensors = [name for name, tensor in weights.items() if not isinstance(tensor, Tensor)]
    if no_tensors:
        return [_several(no_tensors, "no tensor")]
    no_floats = [name for name, tensor in weights.items() if tensor.dtype not in _FLOATS and not name.endswith(_WHOLE)]
    not_finite = [name for name, tensor in weights.items() if name not in no_floats and not _is_finite(name, tensor)]
    kinds = (no_floats, "no floating-point numbers"), (not_finite, "NaN or infinite in some places")
    return [_several(names, what) for names, what in kinds if names]


def _is_finite(name: str, tensor: Tensor) -> bool:
    if name.endswith(_NO_NUMBER) or not tensor.numel():
        return True
    least, most = torch.aminmax(tensor.detach())  # if there is a NaN, both are NaN
    return bool(least.isfinite() & most.isfinite())


def _shape_problems(options: Namespace, weights: dict[str, Tensor]) -> list[str]:
    """Differences between the weights and the state dict of a model with these options: names and shapes."""
    problems = known_family(options).weight_problems(options, weights)
    if problems:
        return problems
    try:
        return _differences(_expected_model(options, weights), weights)
    except Exception as error:  # wrong options and unknown weights can raise anything in fairseq's code
        reason = str(error).strip().partition("\n")[0]
        return [f"no model can be made of its options and weights ({type(error).__name__}: {shown(reason)})"]


def _differences(model, weights: dict[str, Tensor]) -> list[str]:
    expected = {name: tensor.shape for name, tensor in model.state_dict().items()}
    found = dict(weights)
    wrong = [name for name in found if name in expected and found[name].shape != expected[name]]
    if not wrong:
        model.upgrade_state_dict(found)  # as in loading: renames weights of older versions and adds missing entries
        expected = {name: tensor.shape for name, tensor in model.state_dict().items()}
        wrong = [name for name in found if name in expected and found[name].shape != expected[name]]
    kinds = [
        (sorted(set(expected) - set(found)), "missing"),
        (sorted(set(found) - set(expected)), "no weight of this model"),
    ]
    problems = [f"{name} is {list(found[name].shape)}, its options say {list(expected[name])}" for name in wrong[:1]]
    problems += [f"{len(wrong) - 1} more weights have another shape than its options say"] if wrong[1:] else []
    return problems + ([] if wrong else [_several(names, what) for names, what in kinds if names])


def _several(names: Sequence[str], what: str) -> str:
    return f"{names[0][:200] if names[0].isprintable() else shown(names[0])} is {what}" + (
        f", and {len(names) - 1} more are" if names[1:] else ""
    )


class _WithoutNumbers(TorchFunctionMode):
    """Skips the initialisation of weights, so that their memory is reserved but never used."""

    _FILLING = ("normal_", "uniform_", "kaiming_uniform_", "constant_", "fill_")

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if getattr(function, "__name__", None) in self._FILLING:
            return args[0] if args else kwargs["tensor"]
        return function(*args, **(kwargs or {}))


class _Size:
    """A stand-in for a dictionary with the two methods that a model calls."""

    def __init__(self, words: int):
        self._words = words

    def __len__(self) -> int:
        return self._words

    def pad(self) -> int:
        return 1


def _expected_model(options: Namespace, weights: dict[str, Tensor]):
    """The model of these options with weights that are not initialised; only their shapes are used."""
    family = known_family(options)
    with _WithoutNumbers():
        return family.model_class(gated=True).build_model(family.without_files(options), family.task_of(weights, _Size))
