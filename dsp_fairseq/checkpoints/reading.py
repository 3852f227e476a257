"""Reads checkpoints, which are untrusted input: they are loaded with a list of allowed classes, then checked."""

import os
from argparse import Namespace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dsp_fairseq_startup.checkpoints import CHECKS, load_checkpoint

from ..atomic import errors_naming
from ..config import unpruned_options
from ..errors import BadInput
from ..families import inventory_of
from ..gates.loading import mask_that_decodes
from ..gates.stored_mask import mask_entries
from ..option_names import SWITCH
from ..options.plan import Plan
from ..structures.ffn import FFN
from ..structures.inventory import Inventory
from ..structures.nesting import closed_blocks, layers_left
from ..structures.structure import STRUCTURES
from . import schema
from .movement import has_scores, masked_weights, units_left
from .old import with_cfg
from .schema import model_options

GATES = "gates."  # prefix of the names of the gates' tensors in the state dict of a model

CHECKS.append(schema.check)  # fairseq's own commands load through load_checkpoint as well


def load(path: str, as_saved: bool = False) -> dict[str, Any]:
    """The content of a checkpoint, with tensors on the CPU that are read from the file when they are used.

    Weights that the masks of ``movement`` close are 0 in what is returned, unless they are wanted ``as_saved``.
    Raises BadInput when there is no such file, and BadCheckpoint (both have exit code 2) when the file is damaged or
    holds anything that fairseq does not write.
    """
    if not os.path.isfile(path):
        raise BadInput(f"checkpoint {path}: does not exist")
    state = with_cfg(path, load_checkpoint(path, map_location="cpu", mmap=True))
    return state if as_saved else masked_weights(state)


def save(state: dict[str, Any], beside: str, out: str) -> None:
    """Write a checkpoint to the temporary file ``beside``, which the caller renames to ``out``.

    Raises Failed, with ``out`` in its message, when the file cannot be written.
    """
    # torch reports the reason of a failed write only for an open file
    with errors_naming(out), open(beside, "wb") as file:
        torch.save(state, file)


class KeptUnits(NamedTuple):
    """The units that a checkpoint decodes with, and the logits and options that chose them."""

    plan: Plan  # the plan of the training
    mask: Tensor  # bool [H]: True for the units that decode
    logits: Tensor  # float64 [H]
    options: Namespace  # the options of the model

    def best(self, heads_to_keep: Any = None, **others: Any) -> Tensor:
        """The mask, bool [H], of the units with the largest logits, within the limits of the training.

        ``heads_to_keep`` is a value of ``--heads-to-keep``: K, or K of each kind; ``others`` are the values of other
        budgets, by the names of their options. Raises BadInput when the model has fewer units than that.
        """
        return self.plan.keeping(heads_to_keep, **others).mask(self.logits)

    @property
    def inventory(self) -> Inventory:
        return self.plan.inventory

    @property
    def per_kind(self) -> dict[str, int]:
        return self.inventory.kept_per_kind(self.mask.tolist())

    @property
    def per_block(self) -> list[int]:
        return [int(piece.sum()) for piece in self.mask.split(self.inventory.sizes)]


def kept_units(path: str) -> KeptUnits:
    """The units that the checkpoint at ``path`` decodes with.

    Raises BadInput or BadCheckpoint when it cannot be read or is not of a ``gated_transformer``.
    """
    return kept_units_of(load_gated(path))


def load_gated(path: str, as_saved: bool = False) -> dict[str, Any]:
    """As :func:`load`, but also raises BadInput when the checkpoint is not of a ``gated_transformer``."""
    state = load(path, as_saved)
    if "gates.logits" not in state["model"]:
        name = getattr(model_options(state), "arch", None) or "another model"
        raise BadInput(
            f"checkpoint {path}: is of {name}, which has no gates; give one of a gated_transformer "
            "(training with --arch gated_transformer --finetune-from-model makes one from it)"
        )
    return state


def kept_units_of(state: dict[str, Any]) -> KeptUnits:
    """The units that a loaded checkpoint of a gated model decodes with."""
    options, gates = model_options(state), gates_of(state)
    plan = Plan.of(options)
    scored = has_scores(state)
    mask = units_left(state, plan) if scored else mask_that_decodes(gates, plan.inventory, plan.choice)
    return KeptUnits(plan, mask, gates["logits"].detach().clone(), options)


def gates_of(state: dict[str, Any]) -> dict[str, Tensor]:
    """The tensors of the gates in a loaded checkpoint, by their names without the prefix ``gates.``."""
    return {name.removeprefix(GATES): tensor for name, tensor in state["model"].items() if name.startswith(GATES)}


def with_mask(state: dict[str, Any], mask: Tensor) -> dict[str, Any]:
    """A copy of a loaded checkpoint that decodes with the units of ``mask``, bool [H], without any limits."""
    whole = model_options(state)
    inventory = inventory_of(whole)
    kept = {**unpruned_options(), **structure_options(inventory), **budgets_of(mask, inventory), **scaling_of(whole)}
    options = Namespace(**{**vars(whole), **kept})
    weights = {**state["model"], **state_of_mask(mask, inventory)}
    return {**state, "cfg": {**state["cfg"], "model": options}, "model": weights}


def budgets_of(mask: Tensor, inventory: Inventory) -> dict[str, Any]:
    """The budgets, by their options, that ask for as many units of each structure as a mask, bool [units], keeps.

    None for a structure of which the layers that are left are whole: with fewer layers it will need no other number.
    """
    kept = inventory.keeping(mask.tolist())
    budgets: dict[str, Any] = {
        f"{name}_to_keep": kept.count_of(name) for name in inventory.structures if not STRUCTURES[name].nests
    }
    layers = layers_left(kept)
    if layers:
        shut = closed_blocks(kept)
        cut = {
            b.structure
            for b, own, gone in zip(inventory.blocks, kept.blocks, shut, strict=True)
            if b.units > own.units and not gone
        }
        budgets.update({f"{name}_to_keep": None for name in inventory.of_structures_in_layers if name not in cut})
        budgets["layers_to_keep"] = ",".join(f"{part}={number}" for part, number in layers.items())
    return budgets


def structure_options(inventory: Inventory) -> dict[str, Any]:
    """The options, beside those of the architecture, that say what the units of an inventory are."""
    groups = {block.width for block in inventory.blocks if block.structure == FFN.name}
    return {"ffn_group": groups.pop()} if groups else {}


def scaling_of(options: Namespace) -> dict[str, Any]:
    """The option that says whether the outputs of blocks are scaled, whatever the method; empty if they are not."""
    return {"output_scaling": SWITCH[0]} if Plan.of(options).scales_output else {}


def state_of_mask(mask: Tensor, inventory: Inventory) -> dict[str, Tensor]:
    """The entries of a checkpoint's state dict that store ``mask``, bool [H], as the mask that decodes."""
    return {GATES + name: tensor for name, tensor in mask_entries(mask, inventory).items()}
