"""The fairseq variants of a model that a benchmark compares, each at the work that its family describes."""

from argparse import Namespace
from typing import Any, NamedTuple

import torch
from fairseq.models import BaseFairseqModel
from torch import Tensor

from ..checkpoints.building import build_model, build_stock_model, task_of
from ..checkpoints.movement import has_scores
from ..checkpoints.reading import GATES, kept_units_of, model_options, with_mask
from ..families import known_family
from ..options.plan import Plan
from ..structures.inventory import Inventory
from ..structures.nesting import inside_of_layers, layers_left, rebuilt
from ..structures.parameters import total
from ..structures.surgery import fill_with_zeros, remove_units
from .settings import MASKED, REMOVED, STOCK, Decoding


class Subject(NamedTuple):
    """A loaded checkpoint and the heads that it decodes with."""

    state: dict[str, Any]
    before: Inventory  # heads in the file
    after: Inventory  # heads kept

    @classmethod
    def of(cls, state: dict[str, Any], heads_to_keep: str | None = None, **others: str) -> "Subject":
        """The checkpoint with its most important units within the budgets; without any, with those that decode."""
        kept = kept_units_of(state)
        mask = kept.mask if heads_to_keep is None and not others else kept.best(heads_to_keep, **others)
        return cls(state, kept.inventory, kept.inventory.keeping(mask.tolist()))

    def without_removed_heads(self) -> dict[str, Tensor]:
        scaled = Plan.of(model_options(self.state)).scales_output
        return remove_units(self.state["model"], self.before, self.after, scaled)

    @property
    def layer_options(self) -> dict[str, Any]:
        """The options of a model without the layers that are not kept."""
        layers = layers_left(self.after)
        if not layers:
            return {}
        return {"layers_to_keep": None, **known_family(model_options(self.state)).layer_options(layers)}

    def changed(self, weights: dict[str, Tensor], **options) -> dict[str, Any]:
        """The checkpoint with other weights and with these model options changed."""
        model = Namespace(**{**vars(model_options(self.state)), **options})
        return {**self.state, "cfg": {**(self.state.get("cfg") or {}), "model": model}, "model": weights}

    def gated(self, weights: dict[str, Tensor], present: Inventory) -> dict[str, Any]:
        """A checkpoint of the gated model that has the heads ``present`` and decodes with the heads ``after``."""
        pairs = zip(present.blocks, self.after.blocks, strict=True)
        # the mask in the place of logits that are missing, or are 0 because weights have scores: nothing to warn of
        mask = torch.tensor([head in kept.indices for block, kept in pairs for head in block.indices])
        full = {f"{GATES}logits": mask.double(), **weights}
        if has_scores(self.state):
            full[f"{GATES}logits"] = mask.double()
        return with_mask(self.changed(full, kept_heads=inside_of_layers(present).indices()), mask)


def stock_state(subject: Subject) -> dict[str, Any]:
    """A checkpoint of the stock model in its original size (but for layers), zeros for the heads that are not kept."""
    weights = fill_with_zeros(subject.without_removed_heads(), rebuilt(subject.after))
    return subject.changed(weights, **subject.layer_options)


def masked_state(subject: Subject) -> dict[str, Any]:
    """A checkpoint of the gated model in its original size; heads that are not in the file are zeros and not kept."""
    return subject.gated(fill_with_zeros(subject.state["model"], subject.before), subject.before.original())


def removed_state(subject: Subject) -> dict[str, Any]:
    """A checkpoint of the gated model as it is in the file; the prepared model removes the heads that are not kept."""
    return subject.gated(subject.state["model"], subject.before)


class FairseqVariant:
    """A fairseq model that is ready to work: with batches, and with single inputs."""

    def __init__(self, name: str, subject: Subject, decoding: Decoding):
        self._model = _prepared(name, subject, decoding)
        work = known_family(model_options(subject.state)).work()
        self.batches, self.singles = work.jobs(self._model, task_of(subject.state).target_dictionary, decoding)

    def halve(self) -> None:
        """Compute in float16 from now on."""
        self._model.half()


def parameters_of(name: str, subject: Subject) -> int:
    """Number of parameters that a variant computes with; shared parameters count once."""
    if name == REMOVED:
        return total(subject.without_removed_heads())
    if name == STOCK and subject.layer_options:
        return total(stock_state(subject)["model"])
    return total(fill_with_zeros(subject.state["model"], subject.before))


def _prepared(name: str, subject: Subject, decoding: Decoding):
    """The model of a variant, prepared for decoding as ``fairseq-generate`` prepares it."""
    inference = Namespace(generation=Namespace(beam=decoding.beam))
    if name == STOCK:
        model = build_stock_model(stock_state(subject)).to(decoding.device)
        model.prepare_for_inference_(inference)
    elif name == MASKED:
        model = build_model(masked_state(subject)).to(decoding.device)
        # as for the stock model; the gated model's own preparation would remove the heads
        BaseFairseqModel.make_generation_fast_(model, need_attn=False)
        model.mask_only()
    else:
        model = build_model(removed_state(subject)).to(decoding.device)
        model.prepare_for_inference_(inference)
    return model
