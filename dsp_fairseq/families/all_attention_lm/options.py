"""The options of the All-attention language model: those of fairseq's language model that it has, and three more."""

from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, make_dataclass
from typing import Any

from fairseq.dataclass import FairseqDataclass
from fairseq.models.transformer_lm import TransformerLanguageModelConfig

from ..transformer_lm import options as of_transformer
from ..transformer_lm.options import RANGES, TYPES, completed, dataclass_defaults
from ..values import by_name

# options of fairseq's language model that have the same meaning here
_SHARED = (
    *("dropout", "attention_dropout", "decoder_embed_dim", "decoder_output_dim", "decoder_input_dim"),
    *("decoder_layers", "decoder_attention_heads", "no_decoder_final_norm", "adaptive_softmax_cutoff"),
    *("adaptive_softmax_dropout", "adaptive_softmax_factor", "share_decoder_input_output_embed", "adaptive_input"),
    *("adaptive_input_factor", "adaptive_input_cutoff", "tie_adaptive_weights", "tie_adaptive_proj"),
    *("layernorm_embedding", "no_scale_embedding", "checkpoint_activations", "offload_activations"),
    *("min_params_to_wrap", "add_bos_token", "tokens_per_sample", "max_target_positions", "tpu"),
)


@dataclass
class OwnOptions(FairseqDataclass):
    """Options that fairseq's language model does not have."""

    persistent_vectors: int = field(
        default=2000,
        metadata={"help": "keys and values that each head owns, in the place of a feed-forward block"},
    )
    segment_length: int = field(
        default=192,
        metadata={
            "help": "words that are computed together; a sample (--tokens-per-sample) is read segment by segment"
        },
    )
    memory_length: int = field(
        default=192,
        metadata={
            "help": "words before its segment that a word attends to as well; no gradient flows into them. A sample "
            "begins without memory"
        },
    )


_OWN = [each for each in fields(OwnOptions) if each.name != "_name"]
AllAttentionLmConfig = make_dataclass(
    "AllAttentionLmConfig",
    [
        (each.name, each.type, field(default=each.default, metadata=dict(each.metadata)))
        for each in [*(each for each in fields(TransformerLanguageModelConfig) if each.name in _SHARED), *_OWN]
    ],
    bases=(FairseqDataclass,),
)
NAMES = tuple(each.name for each in _OWN)
_RANGES: Mapping[str, tuple[float, float]] = {
    **RANGES,
    "persistent_vectors": (0, 2**20),
    **dict.fromkeys(("segment_length", "memory_length"), (0, 100000)),
    "segment_length": (1, 100000),
}
_OTHER = ("arch", "_name", "seed", "max_update")
_TYPES = {
    **{name: kind for name, kind in TYPES.items() if name in (*_SHARED, *_OTHER)},
    **{each.name: each.type for each in _OWN},
}
DEFAULTS = {name: value for name, value in dataclass_defaults(AllAttentionLmConfig).items() if value is not None}
STRUCTURE = (*(name for name in of_transformer.STRUCTURE if name in _SHARED), *NAMES)


def type_problems(options: Any) -> list[str]:
    """One line per option that is missing or has an impossible value."""
    found = by_name(options)
    missing = [f"--{name.replace('_', '-')} is missing" for name in NAMES if name not in found]
    return [*missing, *of_transformer.type_problems(options, _TYPES, _RANGES, with_kept=not missing)]


def with_defaults(options: Namespace) -> Namespace:
    """The options with the defaults of those that are missing; layers are as wide as words and outputs."""
    full = vars(completed(options))
    names = {each.name for each in fields(TransformerLanguageModelConfig)} - {*_SHARED, *vars(options)}
    # fairseq asks every model for its BASE layers when it saves a checkpoint
    own = {**DEFAULTS, "base_layers": 0}
    return Namespace(**{**own, **{name: value for name, value in full.items() if name not in names}})


def stock_options(options: Any) -> Namespace:
    """The options of fairseq's language model with the same embeddings and softmax, without positions.

    ``options`` are a Namespace or an omegaconf container.
    """
    stock = completed(Namespace(**by_name(options)))
    stock.decoder_normalize_before = stock.no_token_positional_embeddings = True
    return stock
