"""``dsp``, the default: differentiable subset pruning that ends its search with a final mask."""

from dataclasses import dataclass, replace

from torch import Tensor

from ...errors import MOST
from ...structures.inventory import Inventory
from ..pool import Pool
from ..schedules import anneal_temperature, budget_of_update, noise_scale
from .method import SEARCH_SHARE, Method, Options, search_problems, temperature_problems, unfinished_search
from .option import COOLDOWN, FINAL_TEMPERATURE, INITIAL_TEMPERATURE, RATE, SEARCH, Option
from .registry import register_method
from .starts import UNIFORM_PRIOR, uniform_logits

WARM_UP_SHARE = 0.35  # share of the search during which all units are open


@register_method("dsp")
@dataclass(frozen=True)
class CommittedDsp(Method):
    """DSP (Li et al., TACL 2021) with a search that ends in a final choice.

    All units are open while the weights warm up. Then the number of open units falls to K, and straight-through
    samples under fading noise train the logits. At the end of the search the mask becomes the top-K of the logits, and
    the weights train on under this mask.
    """

    initial_temperature: float
    final_temperature: float
    cooldown: int | None  # updates over which the temperature falls; None: as many as the search takes
    search: int | None  # update at which the search ends; None until it is planned
    warm_up: int | None  # updates with all units open; None: WARM_UP_SHARE of the search
    prior: float  # difference between the initial logits of successive units of a block

    SUMMARY = "differentiable subset pruning with commitment"
    # Pipelined searches have other defaults, because the units of a trained block differ from the start, the weights
    # need no warm-up, and the search is short.
    OPTIONS = (
        RATE.with_default(0.05, pipelined=0.2),
        SEARCH,
        Option(
            "search_warmup_updates",
            int,
            "dsp: updates with all units open, before their number falls (default: 35%% of the search; 0 with "
            "--pruning-mode pipelined)",
            0,
            MOST,
            pipelined=0,
        ),
        Option(
            "uniform_prior",
            float,
            "dsp: difference between the logits of successive units of a block at the start; 0 starts without a "
            "preference (default: 4.0; 0 with --pruning-mode pipelined)",
            0,
            1e6,
            default=UNIFORM_PRIOR,
            pipelined=0.0,
        ),
        INITIAL_TEMPERATURE.with_default(0.5),
        FINAL_TEMPERATURE.with_default(0.2),
        COOLDOWN.with_default(None, default_words="--search-updates"),
    )
    learns = True
    pooled = True
    searches = True

    @classmethod
    def build(cls, total: int, keep: int, options: Options) -> "CommittedDsp":
        return cls(
            total,
            keep,
            options["initial_temperature"],
            options["final_temperature"],
            options["cooldown_updates"],
            options["search_updates"],
            options["search_warmup_updates"],
            options["uniform_prior"],
        )

    @classmethod
    def option_problems(cls, options: Options, given: Options, updates: int | None) -> list[str]:
        problems = temperature_problems(options, given) + search_problems(options, updates)
        search, warm_up, mode = (options[n] for n in ("search_updates", "search_warmup_updates", "pruning_mode"))
        if mode not in SEARCH_SHARE:  # an unknown mode, which options/problems.py refuses
            return problems
        if search is None and updates:
            search = max(1, round(SEARCH_SHARE[mode] * updates))
        if search is not None and warm_up is not None and warm_up >= search:
            problems.append(f"--search-warmup-updates {warm_up}: must be below --search-updates ({search})")
        return problems

    @property
    def search_updates(self) -> int | None:
        return self.search

    def with_search(self, search: int) -> "CommittedDsp":
        return replace(
            self,
            search=search,
            warm_up=round(WARM_UP_SHARE * search) if self.warm_up is None else self.warm_up,
            cooldown=search if self.cooldown is None else self.cooldown,
        )

    def problems(self, length: int) -> list[str]:
        if self.search is None or self.warm_up is None:
            return []
        problems = unfinished_search(self.search, length)
        if self.warm_up >= self.search:
            problems.append(
                f"--search-warmup-updates {self.warm_up}: must be below the {self.search} updates of the search "
                "(--search-updates, or a share of the planned updates)"
            )
        return problems

    def initial_logits(self, inventory: Inventory) -> Tensor:
        return uniform_logits(inventory, self.prior)

    def settled(self, update: int) -> bool:
        return self.search is not None and update >= self.search

    def open_amount(self, update: int) -> int:
        if self.search is None or self.warm_up is None:
            return self.total
        return budget_of_update(update, self.total, self.keep, self.warm_up, self.search)

    def temperature(self, update: int) -> float:
        if self.cooldown is None:  # the search is not planned yet
            return self.initial_temperature
        return anneal_temperature(update, self.initial_temperature, self.final_temperature, self.cooldown)

    def noise_level(self, update: int) -> float:
        if self.search is None or self.warm_up is None:
            return 1.0
        return noise_scale(update, self.warm_up, self.search)

    def gates(self, logits: Tensor, update: int, noise: Tensor, pool: Pool) -> Tensor:
        amount = self.open_amount(update)
        noise = noise * self.noise_level(update)
        return pool.straight_through(logits, amount, self.temperature(update), noise)
