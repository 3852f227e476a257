"""``dsp-fairseq prune``: writes a checkpoint without the units that are masked in another checkpoint."""

import os
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, NamedTuple

import torch
from fairseq.criterions import CRITERION_DATACLASS_REGISTRY
from fairseq.tasks import TASK_DATACLASS_REGISTRY
from torch import Tensor

from ..atomic import check_target, writing
from ..collisions import collisions
from ..config import unpruned_options
from ..errors import BadInput, Failed, refuse
from ..families import Family, known_family
from ..option_names import LIMITS
from ..removal import count_lines, removal_table, zero_lines
from ..structures.inventory import Inventory
from ..structures.nesting import layers_left, rebuilt
from ..structures.parameters import once_per_tensor, total
from ..structures.surgery import fill_with_zeros, remove_units
from ..structures.zero_weights import ZeroWeights, count_zeros, fill_zeros
from .another_choice import is_of_a_training, warnings_of
from .building import build_model, build_stock_model
from .movement import fill_problems, folded, has_scores
from .reading import kept_units_of, load, load_gated, model_options, save, state_of_mask, structure_options, with_mask
from .schema import options_of

TOLERANCE = 1e-4  # largest allowed difference of an output logit: absolute below 1, relative above


class Pruned(NamedTuple):
    """The result of :func:`prune`; ``str`` gives the table and the lines that the command prints."""

    before: Inventory
    after: Inventory
    parameters: "tuple[int, int]"  # number before, number after
    bytes: "tuple[int, int]"  # size of the file before, size after
    difference: float  # largest difference of an output logit between the masked and the written model
    warnings: list[str]
    budget: str | None = None  # how much of a budget in parameters is used
    zeros: ZeroWeights | None = None  # in the matrices that were written; None: not counted
    filled: int = 0  # number of zeros that were replaced

    def __str__(self) -> str:
        (parameters, parameters_left), (size, size_left) = self.parameters, self.bytes
        return "\n".join(
            [
                removal_table(self.before, self.after),
                *count_lines(self.before, self.after),
                *([f"budget: {self.budget}"] if self.budget else []),
                f"parameters: {parameters:,} => {parameters_left:,} ({_change(parameters, parameters_left)})",
                *zero_lines(self.zeros, self.filled),
                f"file: {size:,} => {size_left:,} bytes ({_change(size, size_left)})",
                f"checked: {'before the filling' if self.filled else 'reloaded'}, the same logits as with the "
                f"{'weights' if self.zeros else self.before.noun} masked (largest difference {self.difference:.1e})",
                *(f"warning: {line}" for line in self.warnings),
            ]
        )


def prune(
    checkpoint: str,
    out: str,
    heads_to_keep: str | None = None,
    half: bool = False,
    dense: bool = False,
    force: bool = False,
    fill: bool = False,
    **budgets: Any,
) -> Pruned:
    """Write the model of a checkpoint without its pruned units and without the state of the optimiser.

    The written file is loaded again, and its model must compute the same output logits as the masked model.

    Args:
        checkpoint: path of a checkpoint of a gated model.
        out: path of the file to write.
        heads_to_keep: K, or K of each kind, to keep the K heads with the largest logits. Without any budget the units
            that the checkpoint decodes with are kept.
        budgets: values of the other budgets, by the names of their options (see ``option_names.BUDGETS``).
        half: write the weights in float16.
        dense: write the stock model in its original size, with zeros as the weights of the pruned units.
        force: overwrite ``out``.
        fill: put small random numbers in the place of zeros in what is left, to train all of it further.

    Raises:
        BadInput: ``checkpoint`` is not of a gated model, or has no zeros to fill; K is out of range; ``out`` exists or
            is ``checkpoint``.
        Failed: an output logit of the written model differs by more than ``TOLERANCE``.
    """
    refuse(collisions({"OUT": out}, [checkpoint]))
    state = load_gated(checkpoint)
    check_target(out, force)
    refuse(fill_problems(checkpoint, state, dense, budgets={"heads_to_keep": heads_to_keep, **budgets}, fill=fill))
    kept, family = kept_units_of(state), known_family(model_options(state))
    if dense and not family.stock:
        raise BadInput(f"--dense: fairseq has no model with the weights of {family.with_article}; leave it out")
    before, mask, choice = kept.inventory, kept.mask, kept.plan.choice
    if heads_to_keep is not None or budgets:
        choice = kept.plan.keeping(heads_to_keep, **budgets)
        mask = choice.mask(kept.logits)
    after = before.keeping(mask.tolist())
    masked = with_mask(state, mask)
    if has_scores(state):
        state, mask = folded(state, mask)
        after = before.keeping(mask.tolist())
    small, left = _small_state(state, before, after, kept.plan.scales_output), rebuilt(after)
    if half:
        small["model"], masked["model"] = _halved(small["model"]), _halved(masked["model"])
    masked = build_model(masked)
    masked.mask_only()
    expected = _probe(family, masked)
    scored, filled = has_scores(state), 0
    zeros = count_zeros(small["model"], left)
    if fill:
        unfilled = _difference(expected, _probe(family, build_model(small)))  # the filled model computes others
        small["model"], filled = fill_zeros(small["model"], left, torch.Generator().manual_seed(1)), zeros.zero
        expected = _probe(family, build_model(small))
    if dense:
        small = _stock_state(small, left)
    small["model"] = _own_storage(small["model"])
    with writing(out, force) as beside:
        save(small, beside, out)
        written = load(beside)
        model = build_stock_model(written) if dense else build_model(written)
        difference = _difference(expected, _probe(family, model))
    difference = unfilled if fill else difference
    return Pruned(
        before,
        after,
        (total(state["model"]), total(small["model"])),
        (os.path.getsize(checkpoint), os.path.getsize(out)),
        difference,
        warnings_of(kept, mask, is_of_a_training(state["model"])),
        choice.budget_in_words(mask),
        zeros if scored else None,
        filled,
    )


def _is_no_weight(name: str) -> bool:
    return name.startswith("gates.") or name.endswith((".version", "._float_tensor"))


def _small_state(state: dict[str, Any], before: Inventory, after: Inventory, scaled: bool) -> dict[str, Any]:
    """The checkpoint without the removed units and with the training state of a new training.

    The options of pruning are reset, except for the limits, which the next ``prune`` still needs.
    """
    family, whole, left = known_family(model_options(state)), vars(model_options(state)), rebuilt(after)
    limits = {name: whole.get(name) for name in LIMITS}
    kept = {
        **structure_options(left),
        "kept_heads": left.indices(),
        **_layer_options(family, whole, layers_left(after)),
    }
    options = Namespace(**{**whole, **unpruned_options(), **limits, **kept})
    return {
        "args": None,
        "cfg": {**state["cfg"], "model": options},
        "model": {
            **remove_units(state["model"], before, after, scaled),
            **state_of_mask(torch.ones(left.units), left),
        },
        "criterion": state.get("criterion"),
        "optimizer_history": [{**last, "num_updates": 0} for last in state["optimizer_history"][-1:]],
        "task_state": state.get("task_state", {}),
        "extra_state": {"train_iterator": {"epoch": 1, "iterations_in_epoch": 0}},
    }


def _layer_options(family: Family, whole: Mapping[str, Any], layers: Mapping[str, int]) -> dict[str, Any]:
    """The options of a model with so many layers, and ``layers_before``: those before any layer was removed."""
    if not layers:
        return {}
    options = family.layer_options(layers)
    return {**options, "layers_before": {name: whole[name] for name in options} | (whole.get("layers_before") or {})}


def _stock_state(small: dict[str, Any], left: Inventory) -> dict[str, Any]:
    """The same model as a checkpoint for plain fairseq: stock model, task and criterion, zeros for the pruned units."""
    options = Namespace(**vars(small["cfg"]["model"]))
    family = known_family(options)
    for name in ("kept_heads", *unpruned_options()):
        delattr(options, name)
    vars(options).pop("layers_before", None)
    for name in ("arch", "_name"):
        setattr(options, name, family.stock_architecture(getattr(options, name)))
    options.task, options.criterion = family.stock_task, family.stock_criterion
    options.user_dir = None
    cfg = small["cfg"]
    return {
        **small,
        "cfg": {
            **cfg,
            "model": options,
            "task": _stock_options(cfg.get("task"), TASK_DATACLASS_REGISTRY, options.task),
            "criterion": _stock_options(cfg.get("criterion"), CRITERION_DATACLASS_REGISTRY, options.criterion),
            "common": {**options_of(cfg.get("common")), "user_dir": None},
        },
        "model": fill_with_zeros(small["model"], left),
    }


def _stock_options(given: Any, registry: Mapping[str, type], name: str) -> dict[str, Any]:
    """The options of our task or criterion that the stock one of this name knows, for fairseq refuses others.

    A stock one that declares its options in no dataclass takes them all.
    """
    options = options_of(given)
    known = {field.name for field in fields(registry[name])} if name in registry else set(options)
    return {**{key: value for key, value in options.items() if key in known}, "_name": name}


def _halved(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return once_per_tensor(
        weights, lambda name, tensor: tensor if _is_no_weight(name) or tensor.dtype != torch.float32 else tensor.half()
    )


def _own_storage(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copies of the weights: torch saves a slice of a larger tensor together with the whole larger tensor."""
    return once_per_tensor(weights, lambda name, tensor: tensor.detach().clone())


@torch.no_grad()
def _probe(family: Family, model) -> Tensor:
    """Output logits [tokens, vocabulary], float32, of ``model`` for the family's probe batch of made-up sentences."""
    return family.probe(model.float())


def _difference(expected: Tensor, actual: Tensor) -> float:
    difference = (expected - actual).abs()
    if not bool((difference <= TOLERANCE * expected.abs().clamp(min=1)).all()):
        raise Failed(
            f"the pruned model differs from the masked one by {float(difference.max()):.1e} in a logit (allowed "
            f"{TOLERANCE:.0e}), so it was not written; please report this"
        )
    return float(difference.max())


def _change(before: int, after: int) -> str:
    return f"{100 * (after - before) / before:+.1f}%" if before else "+0.0%"
