"""The options of pruning: what they mean, what they default to, what is wrong with them."""

from argparse import Namespace
from dataclasses import dataclass, field, fields
from typing import Callable, List, NamedTuple, Optional

from fairseq.dataclass import FairseqDataclass

from .gates.limits import Limits
from .gates.methods import UNIFORM_PRIOR, CommittedDsp, Method, PublishedDsp, StraightThrough
from .inventory import Inventory

SEARCH_SHARE = 0.3  # of the planned updates, when --search-updates is not given


@dataclass
class PruningConfig(FairseqDataclass):
    """Options of ``fairseq-train`` that say how many heads are kept and how they are chosen."""

    pruning_method: str = field(
        default="dsp",
        metadata={
            "help": "how the heads are chosen: dsp (differentiable subset pruning with commitment), "
            "dsp-published (as in TACL 2021), ste (straight-through), uniform (spread evenly, fixed), "
            "none (all heads)"
        },
    )
    heads_to_keep: Optional[int] = field(
        default=None,
        metadata={
            "help": "K, heads of the whole model that are open at evaluation, exactly; 0 to H, the "
            "number of heads (encoder layers x encoder heads + 2 x decoder layers x decoder heads)"
        },
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
            "(default: 0.05 with dsp; 0.2 with dsp-published and ste)"
        },
    )
    search_updates: Optional[int] = field(
        default=None,
        metadata={
            "help": "dsp: updates until the choice is final; the weights train on under it "
            "(default: 30%% of the planned updates, from --max-update or --max-epoch)"
        },
    )
    search_warmup_updates: Optional[int] = field(
        default=None,
        metadata={
            "help": "dsp: updates with all heads open, before their number falls "
            "(default: 35%% of the search)"
        },
    )
    uniform_prior: Optional[float] = field(
        default=None,
        metadata={
            "help": "dsp: by how much the first logit of a block exceeds the second, and so on, at "
            "the start; 0 starts without a preference (default: 4.0)"
        },
    )
    initial_temperature: Optional[float] = field(
        default=None,
        metadata={"help": "temperature of the relaxation at update 0, in units of the logits "
                  "(default: 0.5 with dsp, 0.1 with dsp-published)"},
    )
    final_temperature: Optional[float] = field(
        default=None,
        metadata={"help": "temperature after --cooldown-updates "
                  "(default: 0.2 with dsp, 1e-8 with dsp-published)"},
    )
    cooldown_updates: Optional[int] = field(
        default=None,
        metadata={"help": "updates over which the temperature falls, log-linear "
                  "(default: --search-updates with dsp, 15000 with dsp-published)"},
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
        for name, value in (recipe.defaults if recipe else {}).items():
            if getattr(config, name) is None:
                setattr(config, name, value)
        return config

    @property
    def rate(self) -> float:
        return self.pruning_lr or 0.0

    def method(self, inventory: Inventory) -> Method:
        """The method object for a model with these blocks."""
        heads = inventory.heads
        keep = heads if self.heads_to_keep is None else self.heads_to_keep
        return RECIPES[self.pruning_method].build(self, heads, keep)


class Recipe(NamedTuple):
    """How a method is built, the options that it reads and their defaults."""

    build: Callable[[PruningConfig, int, int], Method]
    defaults: dict
    learns: bool = True


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
    "uniform": Recipe(lambda o, heads, keep: Method(heads, keep), {}, learns=False),
    "none": Recipe(lambda o, heads, keep: Method(heads, keep), {}, learns=False),
}


def inventory_of(args: Namespace) -> Inventory:
    """The blocks of the model that these options build.

    ``kept_heads`` is no option of a command line: a checkpoint from which heads were removed carries
    it (see :meth:`Inventory.indices`).
    """
    original = Inventory.of_transformer(
        args.encoder_layers,
        args.encoder_attention_heads,
        args.decoder_layers,
        args.decoder_attention_heads,
    )
    kept = getattr(args, "kept_heads", None)
    return original if kept is None else original.only(kept)


def model_problems(args: Namespace) -> List[str]:
    """Everything that keeps these options from making a gated model, one line each."""
    return _unsupported(args) + _method_problems(args)


def flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _unsupported(args: Namespace) -> List[str]:
    """Options of the stock transformer that cannot work together with gates."""
    wrong = {
        "quant_noise_pq": "quantisation noise replaces the projections that gates scale",
        "quant_noise_scalar": "quantisation noise replaces the projections that gates scale",
        "encoder_xformers_att_config": "xformers attention has no gates",
        "decoder_xformers_att_config": "xformers attention has no gates",
        "cross_self_attention": "its blocks are not counted among the heads",
        "no_cross_attention": "decoder.cross heads would not exist",
        "base_layers": "BASE layers have attention without gates",
        "encoder_layers_to_keep": "the heads of dropped layers would be counted",
        "decoder_layers_to_keep": "the heads of dropped layers would be counted",
        "adaptive_softmax_cutoff": "the pruning criterion reads a full softmax",
    }
    return [
        f"{flag(name)} {getattr(args, name)}: not supported by gated_transformer ({why}); leave it out"
        for name, why in wrong.items()
        if getattr(args, name, None)
    ]


def _method_problems(args: Namespace) -> List[str]:
    name = getattr(args, "pruning_method", None) or "dsp"
    if name not in RECIPES:
        return [f"--pruning-method {name}: unknown; choose one of {', '.join(RECIPES)}"]
    problems = []
    recipe = RECIPES[name]
    always = {"_name", "pruning_method", "heads_to_keep", "max_heads_per_block"}
    optional = {f.name for f in fields(PruningConfig)} - always
    for option in sorted(optional - set(recipe.defaults)):
        if getattr(args, option, None) is not None:
            readers = [other for other, r in RECIPES.items() if option in r.defaults]
            problems.append(
                f"{flag(option)} {getattr(args, option)}: --pruning-method {name} does not use it; "
                f"leave it out, or choose one of {', '.join(readers)}"
            )
    return problems + _count_problems(args, name) + _number_problems(args)


def _count_problems(args: Namespace, method: str) -> List[str]:
    inventory = inventory_of(args)
    heads, keep = inventory.heads, getattr(args, "heads_to_keep", None)
    cap = getattr(args, "max_heads_per_block", None)
    allowed = f"0 to {heads}, the heads of this model"
    if method == "none" and cap is not None:
        return [f"--max-heads-per-block {cap}: --pruning-method none keeps all heads; leave it out"]
    if keep is None:
        if method == "none":
            return []
        return [
            f"--heads-to-keep is missing: --pruning-method {method} needs it, {allowed}; "
            "to train with all heads, say --pruning-method none"
        ]
    if not 0 <= keep <= heads:
        return [f"--heads-to-keep {keep}: must be {allowed}"]
    if cap is not None and cap < 0:
        return [f"--max-heads-per-block {cap}: must be 0 or more"]
    room = Limits(tuple(inventory.sizes), cap).room
    if keep > room:
        return [
            f"--heads-to-keep {keep}: --max-heads-per-block {cap} leaves room for {room} heads in "
            f"{len(inventory.blocks)} blocks; keep fewer, or raise it to at least {_smallest_cap(inventory, keep)}"
        ]
    return []


def _smallest_cap(inventory: Inventory, keep: int) -> int:
    sizes = tuple(inventory.sizes)
    return next(cap for cap in range(max(sizes) + 1) if Limits(sizes, cap).room >= keep)


def _number_problems(args: Namespace) -> List[str]:
    problems = []
    for option in ("pruning_lr", "initial_temperature", "final_temperature"):
        value = getattr(args, option, None)
        if value is not None and not 0 < value < float("inf"):
            problems.append(f"{flag(option)} {value}: must be a positive number")
    for option, least in (
        ("search_updates", 1),
        ("search_warmup_updates", 0),
        ("cooldown_updates", 0),
        ("uniform_prior", 0),
    ):
        value = getattr(args, option, None)
        if value is not None and not value >= least:
            problems.append(f"{flag(option)} {value}: must be {least} or more")
    if problems:
        return problems
    options = PruningConfig.from_args(args)
    first, last = options.initial_temperature, options.final_temperature
    if first is not None and last is not None and last > first:
        unsaid = " (the default)"
        problems.append(
            f"--final-temperature {last}{'' if getattr(args, 'final_temperature', None) else unsaid}: "
            "the temperature falls, so it must not be above --initial-temperature "
            f"{first}{'' if getattr(args, 'initial_temperature', None) else unsaid}"
        )
    search, total = options.search_updates, getattr(args, "max_update", None)
    if search is not None and total and search > total:
        problems.append(
            f"--search-updates {search}: must not be above --max-update ({total}), or the choice is "
            "never made"
        )
    warmup = options.search_warmup_updates
    if search is None and total:
        search = round(SEARCH_SHARE * total)
    if search is not None and warmup is not None and warmup >= search:
        problems.append(
            f"--search-warmup-updates {warmup}: must be below --search-updates ({search})"
        )
    return problems
