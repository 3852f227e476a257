"""``all_attention_lm``: a language model of attention alone, whose heads own everything and can be removed."""

from argparse import Namespace

import torch
from fairseq.dataclass.utils import gen_parser_from_dataclass
from fairseq.models import FairseqLanguageModel, register_model
from fairseq.models.transformer import TransformerConfig, TransformerDecoderBase
from torch import Tensor, nn

from ..config import PruningConfig
from ..errors import refuse
from ..families import family_named
from ..families.all_attention_lm.family import AllAttentionLmFamily
from ..families.all_attention_lm.options import AllAttentionLmConfig, stock_options
from ..modules.all_attention import Past
from ..modules.all_attention_layer import AllAttentionLayer, last_words
from ..modules.flat_output import FlatOutput
from ..options.problems import model_problems
from .gated_model import GatedModel
from .gated_transformer import wrapped
from .language_model_embeddings import embeddings_of

UNLIMITED = 2**30  # words of a sample; positions are relative
_STATE = "all_attention"  # name of the keys and values in fairseq's incremental state


@register_model(AllAttentionLmFamily.model)
class AllAttentionLanguageModel(GatedModel, FairseqLanguageModel):
    """The All-attention network (Sukhbaatar et al., 2019) with a gate on each head (Shim et al., 2021).

    Embeddings and softmax, adaptive or not, are fairseq's. ``build_model`` raises BadInput when options are wrong.
    """

    @classmethod
    def add_args(cls, parser):
        gen_parser_from_dataclass(parser, AllAttentionLmConfig(), delete_default=True)
        gen_parser_from_dataclass(parser, PruningConfig.complete(AllAttentionLmFamily.help)())

    @classmethod
    def build_model(cls, args, task):
        refuse(model_problems(args))
        model = cls(AllAttentionStack(args, task.target_dictionary, embeddings_of(stock_options(args), task)))
        model.carry_gates(args, family_named(AllAttentionLmFamily.model))
        return model

    def make_generation_fast_(self, **kwargs):
        """Remove the pruned heads, for evaluation and sampling. The arguments are those of fairseq."""
        if not self._is_generation_fast:
            self.eval()
            self.remove_pruned_units()
        super().make_generation_fast_(**kwargs)

    def max_positions(self):
        return UNLIMITED


class AllAttentionStack(FlatOutput, TransformerDecoderBase):
    """fairseq's stack of a language model with layers of all-attention, which reads a sample segment by segment.

    A word attends to its segment and to the last ``memory_length`` words before it (Dai et al., Transformer-XL, ACL
    2019); no gradient flows into these. Samples are padded on the right.
    """

    def __init__(self, args: Namespace, dictionary, embed_tokens):
        self._options = args
        super().__init__(TransformerConfig.from_namespace(stock_options(args)), dictionary, embed_tokens, True)
        self.segment, self.memory_length = args.segment_length, args.memory_length
        self.distances = nn.Embedding(self.segment + self.memory_length, self.embed_dim)
        nn.init.normal_(self.distances.weight, std=self.embed_dim**-0.5)

    def build_decoder_layer(self, cfg, no_encoder_attn=False):
        options = self._options
        layer = AllAttentionLayer(
            options.decoder_embed_dim,
            options.decoder_attention_heads,
            options.persistent_vectors,
            options.dropout,
            options.attention_dropout,
        )
        return wrapped(layer, cfg)

    def forward(self, prev_output_tokens, encoder_out=None, incremental_state=None, memory=None, **others):
        """Logits [batch, words, types] (or features, before an adaptive softmax), and the memory for what follows.

        Args:
            prev_output_tokens: [batch, words].
            incremental_state: of a sampling; then only the last word is read.
            memory: what an earlier call returned as ``memory`` beside the logits of the words before these, whose
                number must be a multiple of the segment.
        """
        features, extra = self.extract_features(prev_output_tokens, None, incremental_state, memory=memory)
        return (features if others.get("features_only") else self.output_layer(features)), extra

    def extract_features(self, prev_output_tokens, encoder_out=None, incremental_state=None, memory=None, **_):
        if incremental_state is not None:
            x = self._step(prev_output_tokens, incremental_state)
        else:
            x, memory = self._segments(self._embedded(prev_output_tokens), memory or [None] * self.num_layers)
        if self.layer_norm is not None:
            x = self.layer_norm(x)
        x = x.transpose(0, 1)  # [words, batch, D] -> [batch, words, D]
        if self.project_out_dim is not None:
            x = self.project_out_dim(x)
        return x, {"attn": [None], "inner_states": [], "memory": memory}

    def _embedded(self, tokens: Tensor) -> Tensor:
        """[batch, words] -> [words, batch, D]"""
        x = self.embed_scale * self.embed_tokens(tokens)
        if self.project_in_dim is not None:
            x = self.project_in_dim(x)
        if self.layernorm_embedding is not None:
            x = self.layernorm_embedding(x)
        return self.dropout_module(x).transpose(0, 1)

    def _segments(self, x: Tensor, memory: list) -> tuple[Tensor, list]:
        """The output of the last layer [words, batch, D], and the last inputs of every layer."""
        done = []
        for segment in x.split(self.segment):
            later = []
            for layer, before in zip(self.layers, memory, strict=True):
                later.append(last_words(segment, before, self.memory_length))
                segment = layer(segment, self.distances.weight, before)
            memory = later
            done.append(segment)
        return torch.cat(done), memory

    def _step(self, tokens: Tensor, incremental_state) -> Tensor:
        """The output of the last layer [1, batch, D] for the last word of ``tokens``."""
        state = self.get_incremental_state(incremental_state, _STATE) or {}
        first = (tokens.size(1) - 1) % self.segment == 0  # whether the word begins a segment
        x = self._embedded(tokens[:, -1:])
        for index, layer in enumerate(self.layers):
            names = f"keys{index}", f"values{index}"
            past = Past(*(state[name] for name in names)) if names[0] in state else None
            if past is not None and first:  # only the memory is left of the segments before
                start = max(past.keys.size(2) - self.memory_length, 0)
                past = Past(past.keys[:, :, start:], past.values[:, :, start:])
            x, past = layer.step(x, self.distances.weight, past)
            state.update(zip(names, past, strict=True))
        self.set_incremental_state(incremental_state, _STATE, state)
        return x

    def reorder_incremental_state_scripting(self, incremental_state, new_order):
        state = self.get_incremental_state(incremental_state, _STATE)
        if state is not None:
            chosen = {name: rows.index_select(0, new_order) for name, rows in state.items()}
            self.set_incremental_state(incremental_state, _STATE, chosen)

    def max_positions(self):
        return UNLIMITED
