"""The checkpoint that units are removed from, and the one that is written."""

from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ..atomic import writing
from ..checkpoints.building import build_model
from ..checkpoints.reading import (
    KeptUnits,
    budgets_of,
    kept_units_of,
    load,
    model_options,
    save,
    scaling_of,
    state_of_mask,
    structure_options,
    with_mask,
)
from ..config import unpruned_options
from ..errors import BadInput, Failed, refuse
from ..families import architecture_of, family_of, inventory_of, known_family, known_models
from ..option_names import LIMITS
from ..structures.nesting import layers_left
from ..structures.surgery import without_gates


def load_with_gates(path: str) -> dict[str, Any]:
    """A checkpoint of a gated model, or one of its stock model as if it were gated.

    Raises BadInput when it is of another model.
    """
    state = load(path)
    if "gates.logits" in state["model"]:
        return state
    options = model_options(state)
    if family_of(options) is None:
        name = getattr(options, "arch", None) or "another model"
        raise BadInput(f"checkpoint {path}: is of {name}; give one of {known_models()}")
    return with_gates(state)


def with_gates(state: dict[str, Any]) -> dict[str, Any]:
    """A stock checkpoint as one of the gated architecture of that name, all heads open."""
    options = Namespace(**{**vars(model_options(state)), **unpruned_options()})
    # all options are in the checkpoint: the name is a name only
    options.arch = options._name = known_family(options).gated_architecture(architecture_of(options))
    logits = torch.zeros(inventory_of(options).units, dtype=torch.float64)
    weights = {**state["model"], "gates.logits": logits}
    return {**state, "cfg": {**state["cfg"], "model": options}, "model": weights}


def with_feed_forward(state: dict[str, Any], group: int | None) -> dict[str, Any]:
    """A checkpoint with gates whose feed-forward blocks have gates too, all open where they had none.

    Args:
        group: hidden units that are removed together; None: as the checkpoint has it, or the default.

    Raises BadInput when they cannot be groups of that size.
    """
    options = model_options(state)
    there = inventory_of(options)
    before = structure_options(there).get("ffn_group")
    if before is not None and group not in (None, before):
        raise BadInput(
            f"--ffn-group {group}: the hidden units of this checkpoint are in groups of {before}; leave it out"
        )
    if before is not None:
        return state
    options = Namespace(**{**vars(options), "ffn_group": group or known_family(options).group})
    refuse(known_family(options).shape_problems(options))
    return _with_units_of(options, state)


def with_layers(state: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint with gates whose layers have gates too, all open where they had none."""
    options = model_options(state)
    if layers_left(inventory_of(options)):
        return state
    return _with_units_of(Namespace(**{**vars(options), "layers_to_keep": ""}), state)


def _with_units_of(options: Namespace, state: dict[str, Any]) -> dict[str, Any]:
    """The checkpoint with gates on all units of a model of these options; those that had none are open."""
    there, inventory = kept_units_of(state), inventory_of(options)
    known = set(there.inventory.structures)
    before = dict(zip((block.name for block in there.inventory.blocks), _pieces(there), strict=True))
    largest = float(there.logits.max()) if len(there.logits) else 0.0
    mask, logits = [], []
    for block in inventory.blocks:
        new = torch.ones(block.units, dtype=torch.bool), torch.full((block.units,), largest, dtype=torch.float64)
        own = before[block.name] if block.structure in known else new
        mask.append(own[0])
        logits.append(own[1])
    decodes = torch.cat(mask)
    weights = {
        **without_gates(state["model"]),  # moments and schedules of a training are of its own units
        "gates.logits": torch.cat(logits),
        **state_of_mask(decodes, inventory),
    }
    limits = {name: getattr(options, name, None) for name in LIMITS}
    own_options = {**unpruned_options(), **limits, **structure_options(inventory), **budgets_of(decodes, inventory)}
    own_options.update(scaling_of(there.options))
    options = Namespace(**{**vars(options), **own_options})
    return {**state, "cfg": {**state["cfg"], "model": options}, "model": weights}


def _pieces(kept: KeptUnits) -> Iterator[tuple[Tensor, Tensor]]:
    """Mask and logits of each block."""
    sizes = kept.inventory.sizes
    return zip(kept.mask.split(sizes), kept.logits.double().split(sizes), strict=True)


def model_of(state: dict[str, Any]):
    """The model of a checkpoint with gates, in evaluation mode, to compute importances with."""
    # what is computed anew in the backward pass could not be differentiated by a gate
    computed_once = {"checkpoint_activations": False, "offload_activations": False}
    options = Namespace(**{**vars(model_options(state)), **computed_once})
    return build_model({**state, "cfg": {**state["cfg"], "model": options}, "model": dict(state["model"])})


def decoding(
    state: dict[str, Any], model, mask: Tensor, logits: Tensor, limits: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The same weights, decoding with the units of ``mask`` [H], as if no training had begun.

    ``logits`` [H] are the new importance logits; the units of the mask have the largest. ``limits`` are options that
    the mask obeys, which a later prune reads. Names that ``model`` does not know are left out, such as the second copy
    that a stock model stores of some weights.
    """
    cfg = with_mask(state, mask)["cfg"]
    names = [name for name in model.state_dict() if name in state["model"] and not name.startswith("gates.")]
    weights = {name: state["model"][name] for name in names}
    return {
        "args": None,
        "cfg": {**cfg, "model": Namespace(**{**vars(cfg["model"]), **(limits or {})})},
        "model": {**weights, "gates.logits": logits, **state_of_mask(mask, model.gates.inventory)},
        "criterion": state.get("criterion"),
        "optimizer_history": [{**last, "num_updates": 0} for last in state["optimizer_history"][-1:]],
        "task_state": state.get("task_state", {}),
        "extra_state": {"train_iterator": {"epoch": 1, "iterations_in_epoch": 0}},
    }


@contextmanager
def writing_checkpoint(state: dict[str, Any], path: str, mask: Tensor, force: bool) -> Iterator[None]:
    """Write a checkpoint, which is at ``path`` when the block is left.

    Raises Failed when what was written, read again, does not decode with ``mask`` [H].
    """
    with writing(path, force) as beside:
        save(state, beside, path)
        gates = model_of(load(beside)).gates
        if not torch.equal(gates.mask(), mask):
            raise Failed(
                f"{path}: does not decode with the {gates.inventory.noun} that were chosen; please report this"
            )
        yield
