"""Reading checkpoints: untrusted input, loaded with an allow-list."""

import os
from argparse import Namespace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dsp_fairseq_startup.checkpoints import CHECKS, load_checkpoint

from ..atomic import telling_of
from ..errors import BadInput
from ..families import inventory_of
from ..gates.head_gates import mask_that_decodes
from ..gates.stored_mask import mask_entries
from ..options.plan import Plan
from ..structures.ffn import FFN
from ..structures.inventory import Inventory
from . import schema
from .old import with_cfg
from .schema import model_options

GATES = "gates."  # prefix of their names in a state dict

CHECKS.append(schema.check)  # fairseq's own commands load through load_checkpoint as well


def load(path: str) -> dict[str, Any]:
    """The content of a checkpoint, on the CPU, tensors read from the file when they are used.

    Raises BadInput when there is no such file, BadCheckpoint (exit code 2 like it) when the file is
    damaged or carries anything but what fairseq writes.
    """
    if not os.path.isfile(path):
        raise BadInput(f"checkpoint {path}: does not exist")
    return with_cfg(path, load_checkpoint(path, map_location="cpu", mmap=True))


def save(state: dict[str, Any], beside: str, out: str) -> None:
    """Write a checkpoint to ``beside``, which will be renamed to ``out``; raises Failed."""
    with telling_of(out), open(beside, "wb") as file:  # of an open file torch tells why it cannot be written
        torch.save(state, file)


class KeptHeads(NamedTuple):
    """Which heads of a checkpoint decode."""

    plan: Plan  # of its training
    mask: Tensor  # bool [H]
    logits: Tensor  # float64 [H]
    options: Namespace

    def best(self, heads_to_keep: Any = None, **others: Any) -> Tensor:
        """The mask, bool [units], of the most important units within other budgets and the limits of the training.

        Takes what the options of these names take; raises BadInput when there are not so many.
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


def kept_heads(path: str) -> KeptHeads:
    """The heads that a checkpoint of ``gated_transformer`` decodes with.

    Raises BadInput when it is none, or cannot be read.
    """
    return kept_heads_of(load_gated(path))


def load_gated(path: str) -> dict[str, Any]:
    """As :func:`load`, and raises BadInput when the checkpoint is not of a ``gated_transformer``."""
    state = load(path)
    if "gates.logits" not in state["model"]:
        name = getattr(model_options(state), "arch", None) or "another model"
        raise BadInput(
            f"checkpoint {path}: is of {name}, which has no gates; give one of a gated_transformer "
            "(training with --arch gated_transformer --finetune-from-model makes one from it)"
        )
    return state


def kept_heads_of(state: dict[str, Any]) -> KeptHeads:
    """The heads that a loaded checkpoint of a gated model decodes with."""
    options, gates = model_options(state), gates_of(state)
    plan = Plan.of(options)
    mask = mask_that_decodes(gates, plan.inventory, plan.choice)
    return KeptHeads(plan, mask, gates["logits"].detach().clone(), options)


def gates_of(state: dict[str, Any]) -> dict[str, Tensor]:
    """The state dict of a checkpoint's gates, without their prefix."""
    return {name.removeprefix(GATES): tensor for name, tensor in state["model"].items() if name.startswith(GATES)}


def with_mask(state: dict[str, Any], mask: Tensor) -> dict[str, Any]:
    """The same checkpoint, decoding with the units of a mask, bool [units], whatever it was trained for."""
    from ..config import unpruned_options

    whole = model_options(state)
    inventory = inventory_of(whole)
    kept = {**unpruned_options(), **structure_options(inventory), **budgets_of(mask, inventory)}
    options = Namespace(**{**vars(whole), **kept})
    weights = {**state["model"], **stored(mask, inventory)}
    return {**state, "cfg": {**state["cfg"], "model": options}, "model": weights}


def budgets_of(mask: Tensor, inventory: Inventory) -> dict[str, Any]:
    """The budgets, by their options, that ask for as many units of each structure as a mask, bool [units], keeps."""
    kept = inventory.keeping(mask.tolist())
    return {
        f"{name}_to_keep": sum(block.units * block.count for block in kept.of_structure(name).blocks)
        for name in inventory.structures
    }


def structure_options(inventory: Inventory) -> dict[str, Any]:
    """The options, beside those of the architecture, that say what the units of an inventory are."""
    groups = {block.width for block in inventory.blocks if block.structure == FFN.name}
    return {"ffn_group": groups.pop()} if groups else {}


def stored(mask: Tensor, inventory: Inventory) -> dict[str, Tensor]:
    """What a checkpoint holds for the mask, [H], that decodes."""
    return {GATES + name: tensor for name, tensor in mask_entries(mask, inventory).items()}
