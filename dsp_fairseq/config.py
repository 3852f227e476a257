"""The options of pruning: what they mean, what they default to, what is wrong with them."""

import re
from argparse import Namespace
from dataclasses import dataclass, field, fields
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

from fairseq.dataclass import FairseqDataclass

from .errors import BadInput, refuse
from .gates.choice import Choice, Share
from .gates.limits import Limits
from .gates.methods import L0, UNIFORM_PRIOR, CommittedDsp, Method, PublishedDsp, StraightThrough
from .inventory import KINDS, Block, Inventory

SEARCH_SHARE = 0.3  # of the planned updates, when --search-updates is not given


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
        for name, value in (recipe.defaults_of(config.pruning_mode) if recipe else {}).items():
            if getattr(config, name) is None:
                setattr(config, name, value)
        return config

    @property
    def rate(self) -> float:
        return self.pruning_lr or 0.0

    def methods(self, choice: Choice) -> List[Method]:
        """The method objects of the shares of a choice."""
        build = RECIPES[self.pruning_method].build
        return [build(self, share.heads, share.keep) for share in choice.shares]


# the options of a model in which nothing is pruned any more
NO_PRUNING = {f.name: None for f in fields(PruningConfig) if f.name != "_name"}
NO_PRUNING.update(pruning_method="none", pruning_mode="joint")


class Recipe(NamedTuple):
    """How a method is built, the options that it reads and their defaults."""

    build: Callable[[PruningConfig, int, int], Method]
    defaults: Dict[str, Any]
    learns: bool = True
    pipelined: Dict[str, Any] = {}  # where that mode has other defaults

    def defaults_of(self, mode: str) -> Dict[str, Any]:
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


def choice_of(args: Namespace, inventory: Inventory, heads_to_keep: Any = None) -> Choice:
    """How many heads of which blocks these options keep; ``heads_to_keep`` instead of what they say.

    Raises BadInput when that cannot be.
    """
    value = getattr(args, "heads_to_keep", None) if heads_to_keep is None else heads_to_keep
    if value is None and keep_range_of(args, inventory) is not None:
        value = keep_range_of(args, inventory)[1]
    heads = inventory.kept_per_kind([True] * inventory.heads)
    budget = parse_heads_to_keep(value, heads)
    if isinstance(budget, int):
        shares = [Share(budget, _limits(args, inventory.blocks))]
    else:
        of_kind = {kind: [b for b in inventory.blocks if b.kind == kind] for kind in KINDS}
        shares = [Share(budget[kind], _limits(args, of_kind[kind])) for kind in KINDS]
    refuse(problem for share in shares for problem in share.limits.problems(share.keep))
    free = value is None and getattr(args, "pruning_method", None) == "l0"
    return Choice(tuple(shares), free_count=free)


def _limits(args: Namespace, blocks: Sequence[Block]) -> Limits:
    kinds = prunable_kinds(args)
    return Limits(
        tuple(block.heads for block in blocks),
        getattr(args, "max_heads_per_block", None),
        getattr(args, "min_heads_per_block", None) or 0,
        tuple(block.kind not in kinds for block in blocks),
    )


def prunable_kinds(args: Namespace) -> List[str]:
    """Kinds of block that may lose heads; raises BadInput on a name that is none."""
    said = getattr(args, "prunable", None)
    if said is None:
        return list(KINDS)
    kinds = said.split(",")
    if not set(kinds) <= set(KINDS):
        raise BadInput(f"--prunable {said}: must be one or more of {', '.join(KINDS)}, with commas and no spaces")
    return kinds


def keep_range_of(args: Namespace, inventory: Inventory) -> Optional[Tuple[int, int]]:
    """(lowest, highest) K of --heads-to-keep-range, None when it is not given; raises BadInput."""
    said = getattr(args, "heads_to_keep_range", None)
    if said is None:
        return None
    parts = re.fullmatch(r"(\d+):(\d+)", said)
    low, high = map(int, parts.groups()) if parts else (1, 0)
    if not low <= high <= inventory.heads:
        raise BadInput(
            f"--heads-to-keep-range {said}: must be LO:HI with LO not above HI and HI at most {inventory.heads}, the "
            "heads of this model"
        )
    limits = _limits(args, inventory.blocks)
    refuse([*limits.problems(low), *limits.problems(high)])
    return low, high


def parse_heads_to_keep(value: Any, heads: Dict[str, int]) -> Union[int, Dict[str, int]]:
    """K, or K of each kind, from what --heads-to-keep says; ``heads`` is what there is of each kind.

    None means all. Raises BadInput.
    """
    if value is None:
        return sum(heads.values())
    text, everything = str(value), sum(heads.values())
    if re.fullmatch(r"-?\d+", text):
        refuse(
            [f"--heads-to-keep {text}: must be 0 to {everything}, the heads of this model"]
            if not 0 <= int(text) <= everything
            else []
        )
        return int(text)
    pairs = [part.partition("=")[::2] for part in text.split(",")]
    if sorted(kind for kind, _ in pairs) != sorted(heads) or not all(re.fullmatch(r"-?\d+", n) for _, n in pairs):
        example = ",".join(f"{kind}={count}" for kind, count in heads.items())
        raise BadInput(
            f"--heads-to-keep {text}: must be a number, 0 to {everything}, or one for each kind of block, such as "
            f"{example} (all heads of this model)"
        )
    budget = {kind: int(number) for kind, number in pairs}
    refuse(
        f"--heads-to-keep {kind}={count}: must be 0 to {heads[kind]}, the heads of that kind"
        for kind, count in budget.items()
        if not 0 <= count <= heads[kind]
    )
    return budget


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
    optional = {name for recipe in RECIPES.values() for name in recipe.defaults}
    for option in sorted(optional - set(recipe.defaults)):
        if getattr(args, option, None) is not None:
            readers = [other for other, r in RECIPES.items() if option in r.defaults]
            problems.append(
                f"{flag(option)} {getattr(args, option)}: --pruning-method {name} does not use it; "
                f"leave it out, or choose one of {', '.join(readers)}"
            )
    return problems + _mode_problems(args, name) + _count_problems(args, name) + _number_problems(args)


def _mode_problems(args: Namespace, method: str) -> List[str]:
    mode, frozen = getattr(args, "pruning_mode", None) or "joint", getattr(args, "frozen", None)
    problems = []
    if mode not in ("joint", "pipelined"):
        problems.append(f"--pruning-mode {mode}: must be joint or pipelined")
    elif mode == "pipelined" and not RECIPES[method].learns:
        problems.append(f"--pruning-mode pipelined: --pruning-method {method} has no choice to learn; say joint")
    if frozen not in (None, "encoder", "decoder"):
        problems.append(f"--frozen {frozen}: must be encoder or decoder")
    elif frozen and mode == "pipelined":
        problems.append(f"--frozen {frozen}: --pruning-mode pipelined freezes all weights; leave it out")
    if getattr(args, "heads_to_keep_range", None) and method in ("l0", "none"):
        problems.append(f"--heads-to-keep-range {args.heads_to_keep_range}: --pruning-method {method} has no K to draw")
    if getattr(args, "heads_to_keep_range", None) and "=" in str(getattr(args, "heads_to_keep", None)):
        problems.append(f"--heads-to-keep {args.heads_to_keep}: --heads-to-keep-range draws one K for the whole model")
    if getattr(args, "prunable", None) and method == "none":
        problems.append(f"--prunable {args.prunable}: --pruning-method none keeps all heads; leave it out")
    if method == "l0" and getattr(args, "l0_penalty", None) is None:
        problems.append("--l0-penalty is missing: --pruning-method l0 needs the cost of an open head, such as 0.01")
    return problems


def _count_problems(args: Namespace, method: str) -> List[str]:
    inventory = inventory_of(args)
    limits = ("min_heads_per_block", "max_heads_per_block")
    said = [f"{flag(name)} {getattr(args, name)}" for name in limits if getattr(args, name, None) is not None]
    if method == "none" and said:
        return [f"{option}: --pruning-method none keeps all heads; leave it out" for option in said]
    counts = ("heads_to_keep", "heads_to_keep_range")
    counted = any(getattr(args, name, None) is not None for name in counts)
    if not counted and method not in ("none", "l0"):
        return [
            f"--heads-to-keep is missing: --pruning-method {method} needs it, 0 to {inventory.heads}, the heads of this "
            "model; to train with all heads, say --pruning-method none"
        ]
    if said and method == "l0" and not counted:
        return [f"{option}: without --heads-to-keep the penalty alone counts heads; leave it out" for option in said]
    negative = [option for option in said if " -" in option]
    if negative:
        return [f"{option}: must be 0 or more" for option in negative]
    try:
        choice_of(args, inventory)
    except BadInput as error:
        return str(error).splitlines()
    return []


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
        ("l0_penalty", 0),
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
