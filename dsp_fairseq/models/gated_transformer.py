"""``gated_transformer``: fairseq's Transformer whose heads, hidden units and layers carry gates."""

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

from ..config import PruningConfig
from ..errors import BadInput, refuse
from ..families import family_named
from ..families.transformer.family import TransformerFamily
from ..modules import GatedDecoderLayer, GatedEncoderLayer
from ..modules.decoder_steps import DecoderSteps, StepState, reorder_rows
from ..modules.flat_output import FlatOutput
from ..modules.layer_gates import LayerGates
from ..modules.retained_dropout import retained
from ..options.problems import model_problems
from .budget_in_layers import budget_in_layers_hidden
from .gated_model import GatedModel


@register_model(TransformerFamily.model)
class GatedTransformerModel(GatedModel, TransformerModel):
    """Transformer with one gate per attention head (Michel et al., NeurIPS 2019; Li et al., TACL 2021).

    Its parameters have the names of the stock ``transformer``. ``build_model`` raises BadInput when options are wrong.
    """

    @classmethod
    def add_args(cls, parser):
        super().add_args(parser)
        gen_parser_from_dataclass(parser, PruningConfig.complete(TransformerFamily.help)())

    @classmethod
    def build_model(cls, args, task):
        refuse(model_problems(args))
        with budget_in_layers_hidden(args):
            model = super().build_model(args, task)
        model.carry_gates(args, family_named(TransformerFamily.model))
        return model

    @classmethod
    def build_encoder(cls, args, src_dict, embed_tokens):
        return GatedEncoder(TransformerConfig.from_namespace(args), src_dict, embed_tokens)

    @classmethod
    def build_decoder(cls, args, tgt_dict, embed_tokens):
        return GatedDecoder(TransformerConfig.from_namespace(args), tgt_dict, embed_tokens)

    def make_generation_fast_(self, need_attn=False, retain_dropout=False, retain_dropout_modules=None, **kwargs):
        """Prepare the model for fast decoding: remove the pruned units and decode with :class:`DecoderSteps`.

        With ``need_attn`` or ``retain_dropout`` fairseq's own decoding is used, which returns attention weights and
        can apply dropout. The arguments are those of fairseq.
        """
        if not self._is_generation_fast:
            self.eval()  # in training mode, LayerDrop would hide some layers from iteration
            self.remove_pruned_units()
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
        """From now on return the weights of the cross-attention, from which fairseq reads word alignments.

        Raises BadInput when no head of the cross-attention is kept.
        """
        if self.decoder.aligning_layer is None:
            raise BadInput(
                "--print-alignment, --replace-unk: no decoder.cross head is kept, so no word is aligned with another; "
                "leave it out, or decode with a model that keeps one"
            )
        self.encoder.leave_rows_in_place = False
        self.decoder.steps = None


class GatedEncoder(TransformerEncoderBase):
    """Transformer encoder of gated layers."""

    leave_rows_in_place = False  # whether reordering hypotheses leaves the encoder output as it is (for DecoderSteps)

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.layer_gates = LayerGates(self)

    def build_encoder_layer(self, cfg):
        return wrapped(GatedEncoderLayer(cfg, return_fc=self.return_fc), cfg)

    def reorder_encoder_out(self, encoder_out, new_order):
        if self.leave_rows_in_place:
            return reorder_rows(encoder_out, new_order)
        return super().reorder_encoder_out(encoder_out, new_order)


class GatedDecoder(FlatOutput, TransformerDecoderBase):
    """Transformer decoder of gated layers."""

    steps: DecoderSteps | None = None  # the faster decoding; None: fairseq's own

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.layer_gates = LayerGates(self)

    def build_decoder_layer(self, cfg, no_encoder_attn=False):
        return wrapped(GatedDecoderLayer(cfg, no_encoder_attn), cfg)

    @property
    def aligning_layer(self) -> int | None:
        """Index of the last layer whose cross-attention has an open head; None if there is no such layer."""
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


def wrapped(layer, cfg):
    """Add activation checkpointing and sharding to a layer, as the stock encoder and decoder do."""
    if cfg.checkpoint_activations:
        layer = checkpoint_wrapper(layer, offload_to_cpu=cfg.offload_activations)
        layer.register_forward_pre_hook(_need_gradient)
    # a checkpointed layer is always sharded by itself, whatever its size
    smallest = 0 if cfg.checkpoint_activations else cfg.min_params_to_wrap
    return fsdp_wrap(layer, min_num_params=smallest)


def _need_gradient(layer, inputs):
    """Ask for the gradient of a layer's first input, where the weights before it are frozen.

    fairseq's checkpointing passes no gradient into a layer none of whose inputs needs one; it does not know of gates.
    """
    if layer.training and torch.is_grad_enabled() and not inputs[0].requires_grad:
        inputs[0].requires_grad_()
