"""The options of pruning: what they mean, what they default to, which method they build."""

from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, NamedTuple, Optional

from fairseq.dataclass import FairseqDataclass

from .gates.choice import Choice
from .gates.methods import L0, UNIFORM_PRIOR, CommittedDsp, Method, PublishedDsp, StraightThrough

# of the planned updates, when --search-updates is not given; frozen weights cannot train on under the final mask
SEARCH_SHARE = {"joint": 0.3, "pipelined": 1.0}


@dataclass
class PruningConfig(FairseqDataclass):
    """Options of ``fairseq-train`` that say how many heads are kept and how they are chosen."""

    pruning_method: str = field(
        default="dsp",
        metadata={
            "help": "how the heads are chosen: dsp (differentiable subset pruning with commitment), "
            "dsp-published (as in TACL 2021), ste (straight-through), l0 (hard-concrete gates), uniform "
            "(spread evenly, fixed), none (all heads)"
        },
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
            "help": "kinds of block that may lose heads, such as encoder.self,decoder.cross; the others keep "
            "all theirs, which count among the K (default: all three kinds)"
        },
    )
    frozen: Optional[str] = field(
        default=None,
        metadata={
            "help": "weights that do not learn: encoder or decoder (L0 pruning of the encoder freezes the "
            "decoder); shared embeddings belong to both (default: none)"
        },
    )
    heads_to_keep_range: Optional[str] = field(
        default=None,
        metadata={
            "help": "LO:HI; every update draws its own K from this range, and the checkpoint decodes with any of "
            "them (--model-overrides) (default: always --heads-to-keep)"
        },
    )
    l0_penalty: Optional[float] = field(
        default=None,
        metadata={
            "help": "l0: what one open head costs, added to the loss per target token (nats); more heads "
            "close when it is higher. Without --heads-to-keep it alone says how many"
        },
    )
    initial_log_odds: Optional[float] = field(
        default=None,
        metadata={"help": "l0: log-odds of a gate at the start (default: 2.0, which is open in 94 of 100)"},
    )
    heads_to_keep: Optional[str] = field(
        default=None,
        metadata={
            "help": "K, heads of the whole model that are open at evaluation, exactly; 0 to H, the "
            "number of heads (encoder layers x encoder heads + 2 x decoder layers x decoder heads). Or "
            "a number for each kind of block: encoder.self=8,decoder.self=6,decoder.cross=10"
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
    pruning_lr: Optional[float] = field(
        default=None,
        metadata={
            "help": "constant learning rate of the importance logits, whatever --lr-scheduler does "
            "(default: 0.05 with dsp and l0; 0.2 with dsp-published, ste, and dsp with --pruning-mode pipelined)"
        },
    )
    search_updates: Optional[int] = field(
        default=None,
        metadata={
            "help": "dsp: updates until the choice is final; the weights train on under it "
            "(default: 30%% of the planned updates, from --max-update or --max-epoch; all of them with "
            "--pruning-mode pipelined)"
        },
    )
    search_warmup_updates: Optional[int] = field(
        default=None,
        metadata={
            "help": "dsp: updates with all heads open, before their number falls "
            "(default: 35%% of the search; 0 with --pruning-mode pipelined)"
        },
    )
    uniform_prior: Optional[float] = field(
        default=None,
        metadata={
            "help": "dsp: by how much the first logit of a block exceeds the second, and so on, at "
            "the start; 0 starts without a preference (default: 4.0; 0 with --pruning-mode pipelined)"
        },
    )
    initial_temperature: Optional[float] = field(
        default=None,
        metadata={
            "help": "temperature of the relaxation at update 0, in units of the logits "
            "(default: 0.5 with dsp, 0.1 with dsp-published)"
        },
    )
    final_temperature: Optional[float] = field(
        default=None,
        metadata={"help": "temperature after --cooldown-updates (default: 0.2 with dsp, 1e-8 with dsp-published)"},
    )
    cooldown_updates: Optional[int] = field(
        default=None,
        metadata={
            "help": "updates over which the temperature falls, log-linear "
            "(default: --search-updates with dsp, 15000 with dsp-published)"
        },
    )

    @classmethod
    def from_args(cls, args: Namespace) -> "PruningConfig":
        """The options in ``args``, filled up with the defaults of the method."""
        config = cls(
            **{
                f.name: getattr(args, f.name)
                for f in fields(cls)
                if f.name != "_name" and getattr(args, f.name, None) is not None
            }
        )
        recipe = RECIPES.get(config.pruning_method)
        for name, value in (recipe.defaults_of(config.pruning_mode) if recipe else {}).items():
            if getattr(config, name) is None:
                setattr(config, name, value)
        return config

    @property
    def rate(self) -> float:
        return self.pruning_lr or 0.0

    def methods(self, choice: Choice) -> list[Method]:
        """The method objects of the shares of a choice."""
        build = RECIPES[self.pruning_method].build
        return [build(self, share.heads, share.keep) for share in choice.shares]


# the options of a model in which nothing is pruned any more
NO_PRUNING = {f.name: None for f in fields(PruningConfig) if f.name != "_name"}
NO_PRUNING.update(pruning_method="none", pruning_mode="joint")
# of these a checkpoint keeps to the limits, for whoever prunes it further
LIMITS = ("prunable", "min_heads_per_block", "max_heads_per_block")


class Recipe(NamedTuple):
    """How a method is built, the options that it reads and their defaults."""

    build: Callable[[PruningConfig, int, int], Method]
    defaults: dict[str, Any]
    learns: bool = True
    pipelined: Mapping[str, Any] = MappingProxyType({})  # where that mode has other defaults

    def defaults_of(self, mode: str) -> dict[str, Any]:
        return {**self.defaults, **self.pipelined} if mode == "pipelined" else self.defaults


RECIPES = {
    "dsp": Recipe(
        lambda o, heads, keep: CommittedDsp(
            heads,
            keep,
            o.initial_temperature,
            o.final_temperature,
            o.cooldown_updates,
            o.search_updates,
            o.search_warmup_updates,
            o.uniform_prior,
        ),
        {
            "pruning_lr": 0.05,
            "search_updates": None,
            "search_warmup_updates": None,
            "uniform_prior": UNIFORM_PRIOR,
            "initial_temperature": 0.5,
            "final_temperature": 0.2,
            "cooldown_updates": None,
        },
        # trained heads of a block differ, their weights need no warm-up, and there is little time
        pipelined={"pruning_lr": 0.2, "search_warmup_updates": 0, "uniform_prior": 0.0},
    ),
    "dsp-published": Recipe(
        lambda o, heads, keep: PublishedDsp(
            heads, keep, o.initial_temperature, o.final_temperature, o.cooldown_updates
        ),
        {
            "pruning_lr": 0.2,
            "initial_temperature": 0.1,
            "final_temperature": 1e-8,
            "cooldown_updates": 15000,
        },
    ),
    "ste": Recipe(lambda o, heads, keep: StraightThrough(heads, keep), {"pruning_lr": 0.2}),
    "l0": Recipe(
        lambda o, heads, keep: L0(heads, keep, o.l0_penalty, o.initial_log_odds),
        {"pruning_lr": 0.05, "l0_penalty": None, "initial_log_odds": 2.0},
    ),
    "uniform": Recipe(lambda o, heads, keep: Method(heads, keep), {}, learns=False),
    "none": Recipe(lambda o, heads, keep: Method(heads, keep), {}, learns=False),
}
