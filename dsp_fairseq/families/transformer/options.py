"""Types and ranges of the options that shape a Transformer, as fairseq's dataclasses declare them."""

from collections.abc import Iterator
from dataclasses import fields
from typing import Any, Optional

from fairseq.models.transformer import TransformerConfig
from fairseq.models.transformer.transformer_config import DecoderConfig, EncDecBaseConfig, QuantNoiseConfig

from dsp_fairseq_startup.errors import shown

from ...errors import flag
from ..kept_heads import kept_problems
from ..values import by_name, value_problems

_GROUPS = {"encoder": EncDecBaseConfig, "decoder": DecoderConfig, "quant_noise": QuantNoiseConfig}
# options that every checkpoint must have
SHAPE = tuple(
    f"{side}_{part}" for side in ("encoder", "decoder") for part in ("layers", "attention_heads", "embed_dim")
)
_SHARES = (
    *("dropout", "attention_dropout", "activation_dropout", "relu_dropout"),
    *("encoder_layerdrop", "decoder_layerdrop"),
)
# least and largest value
_RANGES: dict[str, tuple[float, float]] = {
    **dict.fromkeys(_SHARES, (0, 1)),
    **{f"{side}_layers": (1, 1000) for side in ("encoder", "decoder")},
    **{f"{side}_attention_heads": (1, 1024) for side in ("encoder", "decoder")},
    **{f"{side}_embed_dim": (4, 65536) for side in ("encoder", "decoder")},
    **{f"{side}_ffn_embed_dim": (1, 2**20) for side in ("encoder", "decoder")},
    **dict.fromkeys(("decoder_input_dim", "decoder_output_dim"), (1, 65536)),
    # fairseq computes a table of so many sines and cosines, whatever the weights are
    **dict.fromkeys(("max_source_positions", "max_target_positions"), (1, 100000)),
}
_MAY_BE_TEXT = ("decoder_output_dim",)  # fairseq's parser stores text, and its models turn it into a number
# options that are not in the dataclasses, or have another type there
_FURTHER = {
    "arch": str,
    "_name": str,
    "seed": int,
    "max_update": Optional[int],
    "source_lang": Optional[str],
    "target_lang": Optional[str],
    "max_source_positions": Optional[int],  # None: fairseq's own defaults
    "max_target_positions": Optional[int],
}


def _declared() -> Iterator[tuple[str, Any]]:
    for field in fields(TransformerConfig):
        if field.name not in _GROUPS:
            yield field.name, field.type
    for group, config in _GROUPS.items():
        for field in fields(config):
            yield f"{group}_{field.name}", field.type


_TYPES = {**dict(_declared()), **_FURTHER}


def _defaults() -> Iterator[tuple[str, Any]]:
    config = TransformerConfig()
    yield from vars(config).items()
    for group in _GROUPS:
        yield from ((f"{group}_{name}", value) for name, value in vars(getattr(config, group)).items())


# values that fairseq uses for options stored as None, as a training from a YAML file stores them
DEFAULTS = {name: value for name, value in _defaults() if name in _TYPES and value is not None and name != "tpu"}
# names without prefix, which fairseq would read instead of the names with a prefix; the model hides the last one
_STRAY = {*_GROUPS, *(field.name for config in _GROUPS.values() for field in fields(config))} - {
    "_name",
    "layers_to_keep",
}


def type_problems(options: Any) -> list[str]:
    """One line per option of a Namespace or DictConfig that is missing or has an impossible value."""
    found = by_name(options)
    problems = [f"{flag(name)} is missing" for name in SHAPE if name not in found]
    problems += [f"{shown(name)}: no option of a Transformer" for name in sorted(_STRAY & set(found))]
    problems += value_problems(found, _TYPES, _RANGES, _MAY_BE_TEXT)
    return problems or _heads_problems(options)


def _heads_problems(options: Any) -> list[str]:
    """One line per width that the number of heads does not divide, and per block with wrong ``kept_heads``."""
    problems = []
    for side in ("encoder", "decoder"):
        width, heads = (getattr(options, f"{side}_{part}") for part in ("embed_dim", "attention_heads"))
        if width % heads:
            problems.append(f"--{side}-attention-heads {heads}: must divide --{side}-embed-dim {width}")
    return problems + kept_problems(options)
