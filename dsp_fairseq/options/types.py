"""Types and ranges of the options that shape a Transformer, as fairseq's and our own dataclasses declare them."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from enum import Enum
from typing import (
    Any,
    NamedTuple,
    Optional,
    Union,
    get_args,
    get_origin,
)

from fairseq.models.transformer import TransformerConfig
from fairseq.models.transformer.transformer_config import DecoderConfig, EncDecBaseConfig, QuantNoiseConfig

from dsp_fairseq_startup.errors import shown

from ..config import option_types
from ..errors import flag
from ..families import original_inventory

_GROUPS = {"encoder": EncDecBaseConfig, "decoder": DecoderConfig, "quant_noise": QuantNoiseConfig}
# options without which nothing is known of a model
SHAPE = tuple(
    f"{side}_{part}" for side in ("encoder", "decoder") for part in ("layers", "attention_heads", "embed_dim")
)
_LONGEST = 4096  # characters of a string
_LARGEST = 2**63 - 1


class _Kind(NamedTuple):
    """A type of option, in words and as a test."""

    words: str
    accepts: Callable[[Any], bool]


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _LARGEST


def number(value: Any) -> Any:
    """What a few digits say; anything else stays as it is."""
    return int(value) if isinstance(value, str) and re.fullmatch(r"\d{1,9}", value, re.ASCII) else value


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST


_KINDS = {
    int: _Kind("a whole number", _is_whole),
    float: _Kind("a number", lambda value: isinstance(value, float) or _is_whole(value)),
    bool: _Kind("True or False", lambda value: isinstance(value, bool) or (_is_whole(value) and value in (0, 1))),
    str: _Kind(f"text of at most {_LONGEST} characters", _is_text),
}

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
    # a table of that many sines and cosines is computed, whatever the weights are
    **dict.fromkeys(("max_source_positions", "max_target_positions"), (1, 100000)),
}
_MAY_BE_NONE = ("max_source_positions", "max_target_positions")  # fairseq's own numbers, then
_MAY_BE_TEXT = ("decoder_output_dim",)  # fairseq's parser leaves it so, its models turn it into a number
# read beside those of the dataclasses
_FURTHER = {
    "arch": str,
    "_name": str,
    "seed": int,
    "max_update": Optional[int],
    "source_lang": Optional[str],
    "target_lang": Optional[str],
}


def _declared() -> Iterator[tuple[str, Any]]:
    for field in fields(TransformerConfig):
        if field.name not in _GROUPS:
            yield field.name, field.type
    for group, config in _GROUPS.items():
        for field in fields(config):
            yield f"{group}_{field.name}", field.type


_DECLARED = {**dict(_declared()), **_FURTHER}


def declared_types() -> dict[str, Any]:
    """Type of every option that is known, those of the registered methods included."""
    return {**_DECLARED, **option_types()}


def _defaults() -> Iterator[tuple[str, Any]]:
    config = TransformerConfig()
    yield from vars(config).items()
    for group in _GROUPS:
        yield from ((f"{group}_{name}", value) for name, value in vars(getattr(config, group)).items())


# what fairseq builds a Transformer with where its options are None, as those of a YAML file's training are
DEFAULTS = {name: value for name, value in _defaults() if name in _DECLARED and value is not None and name != "tpu"}
# names by which fairseq would take a value instead of the one with the prefix
_STRAY = {*_GROUPS, *(field.name for config in _GROUPS.values() for field in fields(config))} - {"_name"}


def type_problems(options: Any) -> list[str]:
    """One line per option, of a Namespace or a DictConfig, that is missing or no possible value."""
    found = dict(options) if isinstance(options, Mapping) else vars(options)
    types = declared_types()
    problems = [f"{flag(name)} is missing" for name in SHAPE if name not in found]
    problems += [f"{shown(name)}: no option of a Transformer" for name in sorted(_STRAY & set(found))]
    empty = [name for name in option_types() if found.get(name) == ""]
    problems += [f"{flag(name)} '': is empty; give it a value, or leave it out" for name in empty]
    for name in sorted(set(found) & set(types) - set(empty)):
        wanted = _wanted(name, found[name], types[name])
        if wanted:
            problems.append(f"{flag(name)} {shown(found[name])}: must be {wanted}")
    return problems or _heads_problems(options)


def _wanted(name: str, value: Any, kind: Any) -> str | None:
    """What the value had to be; None: it is."""
    if name in _MAY_BE_TEXT:
        value = number(value)
    if name in _MAY_BE_NONE or get_origin(kind) is Union:
        if value is None:
            return None
        kind = (get_args(kind) or (kind,))[0]
    if name == "heads_to_keep" and _is_whole(value):  # as a checkpoint of uniform choice has it
        return None
    if isinstance(kind, type) and issubclass(kind, Enum):
        choices = [choice.value for choice in kind]
        return None if isinstance(value, str) and str(value) in choices else f"one of {', '.join(choices)}"
    if kind not in _KINDS:  # lists of numbers, of options that gated models refuse
        numbers = isinstance(value, (list, tuple)) and len(value) <= _LONGEST and all(map(_is_whole, value))
        return None if not value or isinstance(value, str) or numbers else "a list of whole numbers"
    if not _KINDS[kind].accepts(value):
        return _KINDS[kind].words
    least, most = _RANGES.get(name, (None, None))
    return None if least is None or least <= value <= most else f"{least:,} to {most:,}"


def _heads_problems(options: Any) -> list[str]:
    """Heads share the width of their block evenly, and those that are left are some of the original ones."""
    problems = []
    for side in ("encoder", "decoder"):
        width, heads = (getattr(options, f"{side}_{part}") for part in ("embed_dim", "attention_heads"))
        if width % heads:
            problems.append(f"--{side}-attention-heads {heads}: must divide --{side}-embed-dim {width}")
    kept = getattr(options, "kept_heads", None)
    return problems if kept is None else problems + _kept_problems(kept, original_inventory(options).indices())


def _kept_problems(kept: Any, original: dict[str, list[int]]) -> list[str]:
    if not isinstance(kept, Mapping) or set(kept) != set(original):
        blocks = f"each of the {len(original)} blocks, such as {next(iter(original), '')}"
        return [f"kept_heads {shown(kept)}: must have an entry for {blocks}"]
    return [
        f"kept_heads of {name} {shown(heads)}: must be some of 0 to {len(original[name]) - 1}, ascending, each once"
        for name, heads in kept.items()
        if not isinstance(heads, Sequence)
        or isinstance(heads, str)
        or not all(map(_is_whole, heads))
        or sorted(set(heads) & set(original[name])) != list(heads)
    ]
