"""The gates of a model: which units are open, and how this choice is sampled, scheduled and learned."""

from .schedules import anneal_temperature, budget_of_update, noise_scale
from .subset import (
    gumbel_noise,
    gumbel_soft_top_k,
    hard_top_k,
    straight_through_gumbel_top_k,
    straight_through_top_k,
)

__all__ = [
    "anneal_temperature",
    "budget_of_update",
    "gumbel_noise",
    "gumbel_soft_top_k",
    "hard_top_k",
    "noise_scale",
    "straight_through_gumbel_top_k",
    "straight_through_top_k",
]
