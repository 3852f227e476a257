"""The mixin that gives a fairseq model gates: in training those of the update, otherwise the mask that decodes."""

import logging
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..checkpoints.another_choice import is_of_a_training, options_of_training, warnings_of
from ..checkpoints.reading import KeptUnits
from ..config import with_defaults
from ..errors import refuse
from ..families import Family
from ..gates.choice import Choice, Share
from ..gates.gates import Gates
from ..gates.limits import Limits
from ..gates.methods import Method
from ..gates.methods.movement import MASK_OPTIONS, SHAPE_OPTIONS
from ..gates.weights.gates import MovementGates
from ..modules.masked_weights import BlockMask, make_masks_final, set_block_mask
from ..options.plan import Plan
from ..structures.inventory import Inventory
from ..structures.nesting import rebuilt
from ..structures.structure import STRUCTURES
from ..structures.surgery import UNUSED

logger = logging.getLogger(__name__)


class GatedModel:
    """Mixin in front of a fairseq model whose family knows its gated blocks.

    Its state dict has the names of the stock model and ``gates.*``; the latter get their start values when a stock
    checkpoint is loaded. In training, a forward pass applies the gates of the update; in evaluation it applies the
    mask that decodes.
    """

    family: Family
    gates: Gates  # None until carry_gates
    search_share: float  # of the planned updates of a training (see Plan)
    training: bool  # the fairseq model has this attribute and the next two
    parameters: Callable[[], Iterator[nn.Parameter]]
    get_submodule: Callable[[str], Any]
    _mask_in_place: Tensor | None = None  # the mask that the blocks apply now, bool [H]; None: gates, or no mask
    _was_loaded = _was_trained = _announced = _is_of_a_training = False
    _masks_are_overridden = False  # whether --model-overrides ask for other masks than those of the training
    _options: Namespace  # the options of the training, without --model-overrides

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.gates = None
        self.unused: nn.Parameter | None = None  # the only parameter of the optimiser when all weights are frozen

    def carry_gates(self, args: Namespace, family: Family) -> None:
        """Create the gates that ``args`` ask for, and remove the units that the options say are removed.

        Call this at the end of ``build_model``. Raises BadInput when the options of pruning do not fit the model.
        """
        self.family, plan = family, Plan.of(args, family.inventory(args))
        self.gates, self.search_share = plan.gates(), plan.search_share
        for block, module in zip(plan.inventory.blocks, self.gated_blocks, strict=True):
            module.width = block.width
            if block.units < block.original_units:
                module.remove_all_but(torch.tensor(block.indices, dtype=torch.int64))
            if block.owned.output is not None:
                module.scales_output = plan.scales_output
        self._freeze(plan)
        self._options = options_of_training(args)
        of_training = with_defaults(self._options)
        given = of_training["layers_to_keep"]
        if given is not None and plan.options["layers_to_keep"] is None:
            said = "--model-overrides \"{'layers_to_keep': None}\""
            refuse([f"{said}: the training had {given}; to decode with all layers, name their numbers"])
        if plan.method.scores_weights:
            changed = [name for name in SHAPE_OPTIONS if of_training[name] != plan.options[name]]
            refuse(
                f"--model-overrides \"{{'{name}': {plan.options[name]!r}}}\": the training had {of_training[name]!r}, "
                "and every score belongs to one of its blocks; leave it out"
                for name in changed
            )
        self._masks_are_overridden = any(of_training[name] != plan.options[name] for name in MASK_OPTIONS)

    @property
    def gated_blocks(self) -> Sequence[Any]:
        """What applies the gates of each block, in the order of the inventory."""
        return [
            STRUCTURES[block.structure].carrier_in(self.get_submodule(block.module))
            for block in self.gates.inventory.blocks
        ]

    def _freeze(self, plan: Plan) -> None:
        """Turn off gradients of the weights that do not learn, so that the optimiser has no state for them."""
        pipelined = plan.mode == "pipelined"
        for part in self.family.parts:
            if pipelined or plan.frozen == part:
                getattr(self, part).requires_grad_(False)
        if pipelined:  # fairseq's optimisers and data parallel training need at least one parameter
            self.unused = nn.Parameter(torch.zeros(1))

    def upgrade_state_dict_named(self, state_dict, name):
        super().upgrade_state_dict_named(state_dict, name)
        # the checkpoint of a pipelined training has this parameter, which other trainings do not use
        state_dict.pop(UNUSED, None)
        if self.unused is not None:
            state_dict[UNUSED] = self.unused.detach().clone()

    def forward(self, *args, **kwargs):
        if self.training:
            self._open_gates_of_update()
            self._mask_weights()
        return super().forward(*args, **kwargs)

    def train(self, mode=True):
        super().train(mode)
        self._was_trained |= mode
        if not mode and self.gates is not None:
            self._mask_weights()
            self._apply_mask()
            self._announce()
        return self

    def load_state_dict(self, state_dict, strict=True, model_cfg=None, args=None):
        self._is_of_a_training = is_of_a_training(state_dict)
        result = super().load_state_dict(state_dict, strict, model_cfg, args)
        if isinstance(self.gates, MovementGates) and self._masks_are_overridden:
            self.gates.finish_pruning()
        self._was_loaded, self._was_trained = True, False
        if not self.training:
            self._mask_weights()
            self._apply_mask()
        return result

    def _open_gates_of_update(self) -> None:
        if self.gates.settled and self.unused is None:
            self._apply_mask()
            return
        self._mask_in_place = None
        gates = self.gates.mask_of_update() if self.gates.settled else self.gates.of_update(self.device_of_weights)
        if gates is None and self.unused is None:
            for module in self.gated_blocks:
                module.open_all()
            return
        if gates is None:
            gates = torch.ones(self.gates.inventory.units)
        gates = gates.to(self.device_of_weights, torch.float32)
        if self.unused is not None:  # fairseq calls backward at every update, which needs a parameter that learns
            # 0 with a gradient of 0, and without a product, whose graph activation checkpointing could use only once
            nothing = self.unused - self.unused.detach()
            nothing.register_hook(torch.zeros_like)
            gates = gates + nothing.float()
        self._gate(gates)

    def _mask_weights(self) -> None:
        """Give the layers the masks of their weights at this update, where a method masks weights."""
        if isinstance(self.gates, MovementGates):
            open_now = self.gates.weight_mask()
            for matrix, mask, scores in self.gates.masked_matrices():
                rows = matrix.rows_open(open_now) if matrix.masks_bias else None
                set_block_mask(self.get_submodule(matrix.module), BlockMask(mask, scores, rows))

    def _gate(self, gates: Tensor) -> None:
        """Multiply the output of every unit by its gate; ``gates`` is [H], in the order of the inventory."""
        for module, piece in zip(self.gated_blocks, self.gates.per_block(gates), strict=True):
            module.gate(piece)

    def _apply_mask(self) -> None:
        mask = self.gates.mask_of_update() if self.training else self.gates.mask()
        if self._mask_in_place is not None and torch.equal(mask, self._mask_in_place):
            return  # the usual case after the search, when the mask stays the same
        for module, units in zip(self.gated_blocks, self._open_units(mask), strict=True):
            module.open_only(units)
        self._mask_in_place = mask

    def _open_units(self, mask: Tensor) -> list[Tensor]:
        """For each block, the indices of the units that are True in ``mask`` [H], int64, on the model's device."""
        return [torch.nonzero(piece).flatten().to(self.device_of_weights) for piece in self.gates.per_block(mask)]

    def mask_only(self) -> None:
        """Compute every unit and multiply the units that are not kept by 0, to compare with the pruned model."""
        self._gate(self.gates.mask().to(self.device_of_weights, torch.float32))
        self._mask_in_place = None

    def remove_pruned_units(self) -> Inventory:
        """Remove the parameters of the pruned units from the model; return the inventory of what is left."""
        mask = self.gates.mask()
        kept = rebuilt(self.gates.inventory.keeping(mask.tolist()))
        if isinstance(self.gates, MovementGates):
            for matrix in self.gates.layout.matrices:
                make_masks_final(self.get_submodule(matrix.module))
        for module, units in zip(self.gated_blocks, self._open_units(mask), strict=True):
            module.remove_all_but(units)
        self._announce()
        everything = Choice((Share(kept.units, Limits(tuple(kept.sizes))),))
        self.gates = Gates(kept, everything, [Method(kept.units, kept.units)], 0.0, 0)
        self._mask_in_place = None
        return kept

    @property
    def device_of_weights(self) -> torch.device:
        return next(self.parameters()).device

    def _announce(self) -> None:
        """Log once, for a model that was loaded and not trained, how many units decode, with all warnings."""
        if self._announced or self._was_trained or not self._was_loaded:
            return
        self._announced = True
        mask, inventory, logits = self.gates.mask(), self.gates.inventory, self.gates.logits.detach()
        budget = self.gates.choice.budget_in_words(mask)
        logger.info("decoding with %s", "; ".join(filter(None, [inventory.kept_in_words(mask.tolist()), budget])))
        if isinstance(self.gates, MovementGates):  # the mask of its units follows from those of the weights
            return
        plan = Plan.of(self._options, inventory)
        trained = KeptUnits(plan, plan.choice.mask(logits), logits, self._options)
        for line in warnings_of(trained, mask, self._is_of_a_training):
            logger.warning(line)
