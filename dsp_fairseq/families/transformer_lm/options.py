"""Types, ranges and defaults of the options that shape a Transformer language model."""

from argparse import Namespace
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Optional

from fairseq.models.transformer_lm import TransformerLanguageModelConfig, base_lm_architecture

from ...errors import flag
from ..kept_heads import kept_problems
from ..values import by_name, value_problems

SHAPE = ("decoder_layers", "decoder_attention_heads", "decoder_embed_dim")  # options that every checkpoint must have
_SHARES = ("dropout", "attention_dropout", "activation_dropout", "relu_dropout", "adaptive_softmax_dropout")
RANGES: Mapping[str, tuple[float, float]] = {
    **dict.fromkeys((*_SHARES, "decoder_layerdrop"), (0, 1)),
    "decoder_layers": (1, 1000),
    "decoder_attention_heads": (1, 1024),
    "decoder_ffn_embed_dim": (1, 2**20),
    **dict.fromkeys(("decoder_embed_dim", "decoder_input_dim", "decoder_output_dim"), (4, 65536)),
    **dict.fromkeys(("adaptive_softmax_factor", "adaptive_input_factor"), (1, 64)),
    # fairseq computes a table of so many sines and cosines, whatever the weights are
    "max_target_positions": (1, 100000),
}
_UNREAD = ("_name", "base_shuffle")  # fairseq declares a number and stores False; without --base-layers unread
TYPES: Mapping[str, Any] = {
    **{field.name: field.type for field in fields(TransformerLanguageModelConfig) if field.name not in _UNREAD},
    **{"arch": str, "_name": str, "seed": int, "max_update": Optional[int]},
    **{"tokens_per_sample": int, "max_target_positions": Optional[int]},
}
# what a language model must have in common with the checkpoint whose weights it starts from
STRUCTURE = (
    *SHAPE,
    *("decoder_ffn_embed_dim", "decoder_normalize_before", "no_decoder_final_norm", "decoder_learned_pos"),
    *("decoder_input_dim", "decoder_output_dim", "share_decoder_input_output_embed", "no_scale_embedding"),
    *("no_token_positional_embeddings", "layernorm_embedding", "activation_fn", "adaptive_input"),
    *("adaptive_input_cutoff", "adaptive_softmax_cutoff", "adaptive_input_factor", "adaptive_softmax_factor"),
    *("tie_adaptive_weights", "tie_adaptive_proj"),
)


def dataclass_defaults(config: type) -> dict[str, Any]:
    """Default of every option of a dataclass, without those that refer to options of other parts."""
    values = {field.name: field.default for field in fields(config) if field.name != "_name"}
    return {name: value for name, value in values.items() if not (isinstance(value, str) and "${" in value)}


DEFAULTS = {n: value for n, value in dataclass_defaults(TransformerLanguageModelConfig).items() if value is not None}


def with_stock_defaults(options: Namespace) -> Namespace:
    """The options with the values that ``--arch transformer_lm`` has for missing ones; its norms follow the blocks."""
    return Namespace(**{**dataclass_defaults(TransformerLanguageModelConfig), **vars(options)})


def completed(options: Namespace) -> Namespace:
    """The options with the values that the shapes of fairseq have for missing ones, also under names of old versions.

    Norms are before the blocks, and embeddings and outputs as wide as the layers, unless the options say otherwise.
    """
    full = Namespace(**vars(options))
    base_lm_architecture(full)
    # the function of the architecture says True whatever there is
    full.decoder_normalize_before = getattr(options, "decoder_normalize_before", True)
    return with_stock_defaults(full)


def type_problems(
    options: Any,
    types: Mapping[str, Any] = TYPES,
    ranges: Mapping[str, tuple[float, float]] = RANGES,
    with_kept: bool = True,
) -> list[str]:
    """One line per option of a Namespace or DictConfig that is missing or has an impossible value.

    ``with_kept``: whether ``kept_heads`` can be checked too, which needs the blocks of the model.
    """
    found = by_name(options)
    problems = [f"{flag(name)} is missing" for name in SHAPE if name not in found]
    problems += value_problems(found, types, ranges)
    problems += [line for name in ("adaptive_softmax_cutoff", "adaptive_input_cutoff") for line in _cut(found, name)]
    if problems:
        return problems
    width, heads = found["decoder_embed_dim"], found["decoder_attention_heads"]
    if width % heads:
        problems.append(f"--decoder-attention-heads {heads}: must divide --decoder-embed-dim {width}")
    return problems or (kept_problems(options) if with_kept else [])


def _cut(options: Mapping[str, Any], name: str) -> list[str]:
    """A line when cut-offs are not ascending whole numbers; fairseq evaluates their text as Python."""
    value = options.get(name)
    if value in (None, ""):
        return []
    parts = str(value).strip("[]()").replace(" ", "").rstrip(",").split(",")
    numbers = [int(part) for part in parts if part.isdigit() and len(part) < 10]
    if len(numbers) == len(parts) and numbers == sorted(set(numbers)) and numbers[0] > 0:
        return []
    return [f"{flag(name)} {str(value)[:100]}: must be ascending numbers of words, such as 20000,60000"]
