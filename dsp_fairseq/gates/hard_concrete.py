"""Hard-concrete gates and their L0 penalty (Louizos et al., ICLR 2018; Voita et al., ACL 2019).

These are pure functions of flat float64 vectors [H] of log-odds.
"""

import math

import torch
from torch import Tensor

TEMPERATURE = 0.33  # beta
LOW, HIGH = -0.1, 1.1  # gamma and zeta: the stretch
_SHIFT = TEMPERATURE * math.log(-LOW / HIGH)
_SMALLEST = 1e-6


def logistic_noise(size: int, generator: "torch.Generator | None" = None) -> Tensor:
    """Standard logistic noise [size], float64: logit(u) with u uniform on (1e-6, 1 - 1e-6)."""
    uniform = torch.rand(size, dtype=torch.float64, generator=generator)
    return torch.logit(_SMALLEST + (1 - 2 * _SMALLEST) * uniform)


def hard_concrete(log_odds: Tensor, noise: Tensor) -> Tensor:
    """Gates [H] in the closed interval [0, 1]: a stretched and clipped sigmoid of log-odds [H] plus noise [H].

    Louizos et al., eq. 10 and 11: s = sigmoid((logit u + a) / beta), clip(s (zeta - gamma) + gamma, 0, 1).
    """
    stretched = torch.sigmoid((noise + log_odds) / TEMPERATURE) * (HIGH - LOW) + LOW
    return stretched.clamp(0.0, 1.0)


def open_probability(log_odds: Tensor) -> Tensor:
    """Probability [H] that each gate is above 0 (Louizos et al., eq. 12); the sum over gates is the L0 penalty."""
    return torch.sigmoid(log_odds - _SHIFT)


def is_open(log_odds: Tensor) -> Tensor:
    """Which units are open at evaluation, bool [H]: those whose gate without noise is above 1/2.

    clip(sigmoid(a) (zeta - gamma) + gamma, 0, 1) > 1/2 means a > 0, because the stretch is symmetric.
    """
    return log_odds.detach() > 0
