"""``gated_transformer``: fairseq's Transformer whose attention heads carry gates."""

import logging
from argparse import Namespace

import torch
from fairseq.dataclass.utils import gen_parser_from_dataclass
from fairseq.distributed import fsdp_wrap
from fairseq.models import register_model
from fairseq.models.transformer import (
    TransformerConfig,
    TransformerDecoderBase,
    TransformerEncoderBase,
    TransformerModel,
)
from fairseq.modules.checkpoint_activations import checkpoint_wrapper
from torch import nn

from ..another_choice import is_of_a_training, options_of_training, warnings_of
from ..budgets import choice_of, keep_range_of
from ..checkpoint import KeptHeads
from ..config import PruningConfig
from ..errors import BadInput, refuse
from ..families import inventory_of
from ..families.transformer import KINDS
from ..gates.choice import Choice, Share
from ..gates.head_gates import HeadGates
from ..gates.limits import Limits
from ..gates.methods import Method
from ..modules import GatedDecoderLayer, GatedEncoderLayer, GatedMultiheadAttention
from ..modules.decoder_steps import DecoderSteps, StepState, reorder_rows
from ..modules.retained_dropout import retained
from ..option_problems import model_problems
from ..structures.surgery import UNUSED

logger = logging.getLogger(__name__)


@register_model("gated_transformer")
class GatedTransformerModel(TransformerModel):
    """Transformer with one gate per attention head (Li et al., TACL 2021, and its neighbours).

    Parameters have the names of the stock ``transformer``; ``gates.*`` comes on top and is filled in
    when a stock checkpoint is loaded. In training a forward pass runs under the gates of the update;
    at evaluation always under the hard mask with exactly K heads.
    """

    def __init__(self, args, encoder, decoder):
        super().__init__(args, encoder, decoder)
        self.gates: HeadGates = None  # set by build_model, which knows all options
        self.unused: nn.Parameter | None = None  # where all weights are frozen
        self._mask_in_place: torch.Tensor | None = None  # that the blocks were last told to keep
        self._was_loaded = self._was_trained = self._announced = False
        self._options: Namespace = None  # of the training, whatever was overridden for decoding
        self._is_of_a_training = False

    @classmethod
    def add_args(cls, parser):
        super().add_args(parser)
        gen_parser_from_dataclass(parser, PruningConfig())

    @classmethod
    def build_model(cls, args, task):
        refuse(model_problems(args))
        model = super().build_model(args, task)
        options = PruningConfig.from_args(args)
        inventory = inventory_of(args)
        choice = choice_of(args, inventory)
        model.gates = HeadGates(
            inventory,
            choice,
            options.methods(choice),
            options.rate,
            getattr(args, "seed", 1),
            keep_range_of(args, inventory),
        )
        for attention, block in zip(model.attention, inventory.blocks, strict=True):
            if block.units < block.original_units:
                attention.remove_all_but(torch.tensor(block.indices, dtype=torch.int64))
        model._freeze(options)
        model._options = options_of_training(args)
        return model

    @classmethod
    def build_encoder(cls, args, src_dict, embed_tokens):
        return GatedEncoder(TransformerConfig.from_namespace(args), src_dict, embed_tokens)

    @classmethod
    def build_decoder(cls, args, tgt_dict, embed_tokens):
        return GatedDecoder(TransformerConfig.from_namespace(args), tgt_dict, embed_tokens)

    def _freeze(self, options: PruningConfig) -> None:
        """Weights that do not learn have no gradient and no state in the optimiser."""
        pipelined = options.pruning_mode == "pipelined"
        if pipelined or options.frozen == "encoder":
            self.encoder.requires_grad_(False)
        if pipelined or options.frozen == "decoder":
            self.decoder.requires_grad_(False)
        if pipelined:  # fairseq's optimisers and data parallel training want a parameter
            self.unused = nn.Parameter(torch.zeros(1))

    def upgrade_state_dict_named(self, state_dict, name):
        super().upgrade_state_dict_named(state_dict, name)
        # of a pipelined training; another one has no use for it
        state_dict.pop(UNUSED, None)
        if self.unused is not None:
            state_dict[UNUSED] = self.unused.detach().clone()

    @property
    def attention(self) -> list[GatedMultiheadAttention]:
        """All attention blocks, in the order of the inventory."""
        encoder = [self.encoder.layers[i] for i in range(self.encoder.num_layers)]
        decoder = [self.decoder.layers[i] for i in range(self.decoder.num_layers)]
        return (
            [layer.self_attn for layer in encoder]
            + [layer.self_attn for layer in decoder]
            + [layer.encoder_attn for layer in decoder]
        )

    def forward(self, *args, **kwargs):
        if self.training:
            self._open_gates_of_update()
        return super().forward(*args, **kwargs)

    def train(self, mode: bool = True):
        super().train(mode)
        self._was_trained |= mode
        if not mode and self.gates is not None:
            self._keep_mask()
            self._announce()
        return self

    def load_state_dict(self, state_dict, strict=True, model_cfg=None, args=None):
        self._is_of_a_training = is_of_a_training(state_dict)
        result = super().load_state_dict(state_dict, strict, model_cfg, args)
        self._was_loaded, self._was_trained = True, False
        if not self.training:
            self._keep_mask()
        return result

    def _open_gates_of_update(self) -> None:
        if self.gates.settled and self.unused is None:
            self._keep_mask()
            return
        self._mask_in_place = None
        gates = self.gates.mask_of_update() if self.gates.settled else self.gates.of_update(self._device)
        if gates is None and self.unused is None:
            for attention in self.attention:
                attention.open_all()
            return
        if gates is None:
            gates = torch.ones(self.gates.inventory.units)
        gates = gates.to(self._device, torch.float32)
        if self.unused is not None:  # fairseq calls backward at every update, whether anything learns or not
            gates = gates + 0.0 * self.unused.float()
        for attention, piece in zip(self.attention, self.gates.per_block(gates), strict=True):
            attention.gate(piece)

    def _keep_mask(self) -> None:
        mask = self.gates.mask_of_update() if self.training else self.gates.mask()
        if self._mask_in_place is not None and torch.equal(mask, self._mask_in_place):
            return  # every update after the search comes here
        for attention, piece in zip(self.attention, self.gates.per_block(mask), strict=True):
            attention.keep(torch.nonzero(piece).flatten().to(self._device))
        self._mask_in_place = mask

    def make_generation_fast_(self, need_attn=False, retain_dropout=False, retain_dropout_modules=None, **kwargs):
        """Take the pruned heads out for good, and decode step by step without what nobody asked for."""
        if not self._is_generation_fast:
            self.eval()  # in training a list of layers with LayerDrop leaves some out
            kept = self.gates.inventory.keeping(self.gates.mask().tolist())
            for attention, piece in zip(self.attention, self.gates.per_block(self.gates.mask()), strict=True):
                attention.remove_all_but(torch.nonzero(piece).flatten().to(self._device))
            self._announce()
            everything = Choice((Share(kept.units, Limits(tuple(kept.sizes))),))
            self.gates = HeadGates(kept, everything, [Method(kept.units, kept.units)], 0.0, 0)
            self._mask_in_place = None
            if need_attn:
                self.show_attention()
            elif not retain_dropout:
                self.encoder.leave_rows_in_place = True
                self.decoder.steps = DecoderSteps(self.decoder)
                for layer in self.encoder.layers:
                    layer.self_attn.fused()
        if retain_dropout and retain_dropout_modules is not None:
            retain_dropout_modules = retained(self, retain_dropout_modules)
        super().make_generation_fast_(
            need_attn=need_attn,
            retain_dropout=retain_dropout,
            retain_dropout_modules=retain_dropout_modules,
            **kwargs,
        )

    def show_attention(self) -> None:
        """From now on decode with the attention to the encoder, which alignments are read from; raises BadInput."""
        if self.decoder.aligning_layer is None:
            raise BadInput(
                "--print-alignment, --replace-unk: no decoder.cross head is kept, so no word is aligned with another; "
                "leave it out, or decode with a model that keeps one"
            )
        self.encoder.leave_rows_in_place = False
        self.decoder.steps = None

    def mask_only(self) -> None:
        """Compute every head and multiply those that are not kept by 0: a masked model, to compare with."""
        mask = self.gates.mask().to(self._device, torch.float32)
        for attention, piece in zip(self.attention, self.gates.per_block(mask), strict=True):
            attention.gate(piece)
        self._mask_in_place = None

    @property
    def _device(self) -> torch.device:
        return self.decoder.layers[0].self_attn.out_proj.weight.device

    def _announce(self) -> None:
        """Say once what a loaded model decodes with."""
        if self._announced or self._was_trained or not self._was_loaded:
            return
        self._announced = True
        mask, inventory, logits = self.gates.mask(), self.gates.inventory, self.gates.logits.detach()
        kept = inventory.kept_per_kind(mask)
        logger.info(
            "decoding with %d of %d heads (%s)",
            sum(kept.values()),
            self.gates.inventory.original_units,
            ", ".join(f"{kind} {kept[kind]}" for kind in KINDS),
        )
        trained = KeptHeads(inventory, choice_of(self._options, inventory).mask(logits), logits, self._options)
        for line in warnings_of(trained, mask, self._is_of_a_training):
            logger.warning(line)


class GatedEncoder(TransformerEncoderBase):
    """Transformer encoder of gated layers."""

    leave_rows_in_place = False  # in beam search: the decoder's steps look them up

    def build_encoder_layer(self, cfg):
        return _wrap(GatedEncoderLayer(cfg, return_fc=self.return_fc), cfg)

    def reorder_encoder_out(self, encoder_out, new_order):
        if self.leave_rows_in_place:
            return reorder_rows(encoder_out, new_order)
        return super().reorder_encoder_out(encoder_out, new_order)


class GatedDecoder(TransformerDecoderBase):
    """Transformer decoder of gated layers."""

    steps: DecoderSteps | None = None  # how beam search goes on, once the model is prepared for it

    def build_decoder_layer(self, cfg, no_encoder_attn=False):
        return _wrap(GatedDecoderLayer(cfg, no_encoder_attn), cfg)

    @property
    def aligning_layer(self) -> int | None:
        """The last layer that has a head to attend to the encoder with; None: no layer has."""
        layers = [self.layers[index] for index in range(self.num_layers)]
        return next((i for i in reversed(range(self.num_layers)) if layers[i].encoder_attn.open_units), None)

    def extract_features(
        self,
        prev_output_tokens,
        encoder_out,
        incremental_state=None,
        full_context_alignment=False,
        alignment_layer=None,
        alignment_heads=None,
    ):
        if self.steps is None or incremental_state is None:
            layer = self.aligning_layer if alignment_layer is None and not self.training else alignment_layer
            return super().extract_features(
                prev_output_tokens, encoder_out, incremental_state, full_context_alignment, layer, alignment_heads
            )
        state = StepState.of(incremental_state)
        return self.steps.features(prev_output_tokens, encoder_out, state), {"attn": [None], "inner_states": []}

    def reorder_incremental_state_scripting(self, incremental_state, new_order):
        if StepState.KEY in incremental_state:
            StepState.of(incremental_state).reorder(new_order)
        else:
            super().reorder_incremental_state_scripting(incremental_state, new_order)


def _wrap(layer, cfg):
    """Activation checkpointing and sharding, as the stock encoder and decoder do it."""
    if cfg.checkpoint_activations:
        layer = checkpoint_wrapper(layer, offload_to_cpu=cfg.offload_activations)
    # a checkpointed layer is always sharded by itself, whatever its size
    smallest = 0 if cfg.checkpoint_activations else cfg.min_params_to_wrap
    return fsdp_wrap(layer, min_num_params=smallest)
