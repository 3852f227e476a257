"""``dsp-published``: differentiable subset pruning as Li et al. (TACL 2021) describe it."""

from dataclasses import dataclass

from torch import Tensor

from ...structures.inventory import Inventory
from ..pool import Pool
from ..schedules import anneal_temperature
from .method import Method, Options, temperature_problems
from .option import COOLDOWN, FINAL_TEMPERATURE, INITIAL_TEMPERATURE, RATE
from .registry import register_method
from .starts import published_logits


@register_method("dsp-published")
@dataclass(frozen=True)
class PublishedDsp(Method):
    """Relaxed gates with noise during the whole training, at a falling temperature (Li et al., TACL 2021)."""

    initial_temperature: float
    final_temperature: float
    cooldown: int

    SUMMARY = "as in TACL 2021"
    OPTIONS = (
        RATE.with_default(0.2),
        INITIAL_TEMPERATURE.with_default(0.1),
        FINAL_TEMPERATURE.with_default(1e-8),
        COOLDOWN.with_default(15000),
    )
    learns = True
    takes_costs = False

    @classmethod
    def build(cls, total: int, keep: int, options: Options) -> "PublishedDsp":
        return cls(
            total, keep, options["initial_temperature"], options["final_temperature"], options["cooldown_updates"]
        )

    @classmethod
    def option_problems(cls, options: Options, given: Options, updates: int | None) -> list[str]:
        return temperature_problems(options, given)

    def initial_logits(self, inventory: Inventory) -> Tensor:
        return published_logits(inventory)

    def settled(self, update: int) -> bool:
        return False

    def temperature(self, update: int) -> float:
        return anneal_temperature(update, self.initial_temperature, self.final_temperature, self.cooldown)

    def gates(self, logits: Tensor, update: int, noise: Tensor, pool: Pool) -> Tensor:
        return pool.soft(logits, self.keep, self.temperature(update), noise, bounded=True)
