"""The options of pruning on the command line: their help texts, types and defaults."""

import re
from argparse import Namespace
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, make_dataclass
from types import MappingProxyType
from typing import Any, Optional

from fairseq.dataclass import FairseqDataclass

from .gates.methods import METHODS
from .gates.methods.option import Option
from .gates.methods.registry import help_of, method_options, summary_of_methods
from .option_names import BUDGETS

# options that must not change when a training continues, and must be equal in checkpoints that are averaged
SAME_PRUNING = (
    *("pruning_method", "pruning_mode", *BUDGETS, "heads_to_keep_range", "prunable", "frozen"),
    *("min_heads_per_block", "max_heads_per_block", "min_ffn_per_block", "max_ffn_per_block", "ffn_group"),
    *("search_updates", "output_scaling", "weights_to_keep", "block_rows", "block_cols", "block_shape"),
    *("final_threshold", "pruning_start", "pruning_end"),
)


@dataclass
class CommonOptions(FairseqDataclass):
    """Options of ``fairseq-train`` that all methods have in common: how much is kept, and of which blocks."""

    pruning_method: str = field(
        default="dsp",
        metadata={"help": "how heads, and other units that have a budget, are chosen: {methods}"},
    )
    pruning_mode: str = field(
        default="joint",
        metadata={
            "help": "joint: weights and choice are learned together; pipelined: the weights of "
            "--finetune-from-model stay as they are, only the choice is learned"
        },
    )
    prunable: Optional[str] = field(
        default=None,
        metadata={
            "help": "kinds of block that may lose heads or hidden units, such as {some kinds}; the others keep "
            "all theirs, which count in the budget (default: {all kinds})"
        },
    )
    frozen: Optional[str] = field(
        default=None,
        metadata={"help": "weights that do not learn: {parts} (default: none)"},
    )
    heads_to_keep_range: Optional[str] = field(
        default=None,
        metadata={
            "help": "LO:HI; every update draws its own K from this range, and the checkpoint decodes with any of "
            "them (--model-overrides) (default: always --heads-to-keep)"
        },
    )
    heads_to_keep: Optional[str] = field(
        default=None,
        metadata={
            "help": "K, heads of the whole model that are open at evaluation, exactly; 0 to H, the "
            "number of heads ({H}). Or a number for each kind of block: {K of each kind}"
        },
    )
    min_heads_per_block: Optional[int] = field(
        default=None,
        metadata={"help": "a block keeps at least this many heads; K stays exact (default: 0)"},
    )
    max_heads_per_block: Optional[int] = field(
        default=None,
        metadata={
            "help": "a block keeps at most this many heads; K stays exact (default: all that it has). Runtimes "
            "with one number of heads for all blocks of a stack, such as CTranslate2, then pad less"
        },
    )
    ffn_to_keep: Optional[str] = field(
        default=None,
        metadata={
            "help": "F, hidden units of all feed-forward blocks together that are open at evaluation, exactly; a "
            "multiple of --ffn-group. Or a number for each kind of block: {F of each kind} "
            "(default: all, or as many as --parameters-to-keep leaves)"
        },
    )
    layers_to_keep: Optional[str] = field(
        default=None,
        metadata={
            "help": "layers of each stack that are open at evaluation, exactly, such as {E of each stack}; at least 1. "
            "They are chosen first: heads and hidden units of other layers do not count (default: all)"
        },
    )
    parameters_to_keep: Optional[str] = field(
        default=None,
        metadata={
            "help": "P, prunable parameters that are kept at most, and nothing more fits: a number, or a share such as "
            "40%%. Heads and hidden units compete, each at its own cost in parameters; with --heads-to-keep only "
            "hidden units do (default: no such budget)"
        },
    )
    ffn_group: Optional[int] = field(
        default=None,
        metadata={
            "help": "hidden units of a feed-forward block that are kept or removed together; must divide their number "
            "(default: 64)"
        },
    )
    min_ffn_per_block: Optional[int] = field(
        default=None,
        metadata={"help": "a feed-forward block keeps at least this many hidden units (default: 0)"},
    )
    max_ffn_per_block: Optional[int] = field(
        default=None,
        metadata={"help": "a feed-forward block keeps at most this many hidden units (default: all that it has)"},
    )
    output_scaling: Optional[str] = field(
        default=None,
        metadata={
            "help": "on: the output of an attention block with n of H heads open, without its bias, is multiplied by "
            "H/n, at least 1 and at most H, in training and at evaluation; dsp-fairseq prune multiplies the weights "
            "(default: on with {methods that scale}, off with all others)"
        },
    )


class PruningConfig(FairseqDataclass):
    """All options of pruning: the common ones and those of the registered methods."""

    @classmethod
    def complete(cls, words: Mapping[str, str]) -> type["PruningConfig"]:
        """The dataclass that fairseq reads, with a field for every option in the order of ``--help``.

        ``words`` replace the placeholders ``{...}`` in the help texts; a family has them in
        :attr:`~dsp_fairseq.families.Family.help`.
        """
        return make_dataclass("PruningConfig", _all_fields(words), bases=(cls,))


def with_defaults(args: Namespace) -> dict[str, Any]:
    """All options of pruning by name.

    An option has its value in ``args``, else the default of the method, else None.
    """
    options: dict[str, Any] = {name: getattr(args, name, None) for name in option_types()}
    name, mode = options["pruning_method"] or "dsp", options["pruning_mode"] or "joint"
    options.update(pruning_method=name, pruning_mode=mode)
    defaults = METHODS[name].defaults(mode) if name in METHODS else {}
    return {**options, **{name: value for name, value in defaults.items() if options[name] is None}}


def option_types() -> dict[str, Any]:
    """The type of every option of pruning by the option's name, in the order of ``--help``."""
    return {name: type_ for name, type_, _ in _all_fields()}


def unpruned_options() -> dict[str, Any]:
    """Values of all options of pruning for a model without masked heads: method "none" and no limits."""
    return {**dict.fromkeys(option_types()), "pruning_method": "none", "pruning_mode": "joint"}


def _all_fields(words: Mapping[str, str] = MappingProxyType({})) -> Iterator[tuple[str, Any, Any]]:
    """Name, type and dataclass field of every option, in the order of ``--help``.

    The common options come first; an option of a method with ``before`` comes before that common option.
    """
    options = method_options().values()
    scaling = " and ".join(name for name, method in METHODS.items() if method.scales_output)
    words = {**words, "methods": summary_of_methods(), "methods that scale": scaling}
    for common in fields(CommonOptions):
        if common.name == "_name":
            continue
        yield from (_field_of(option, words) for option in options if option.before == common.name)
        text = _filled(common.metadata["help"], words)
        yield common.name, common.type, field(default=common.default, metadata={"help": text})
    yield from (_field_of(option, words) for option in options if option.before is None)


def _field_of(option: Option, words: Mapping[str, str]) -> tuple[str, Any, Any]:
    text = _filled(help_of(option), words)
    return option.name, Optional[option.type], field(default=None, metadata={"help": text})


def _filled(text: str, words: Mapping[str, str]) -> str:
    """A help text with ``words`` in the place of its ``{...}``."""
    return re.sub(r"\{(.+?)\}", lambda gap: words.get(gap[1], gap[1]), text)
