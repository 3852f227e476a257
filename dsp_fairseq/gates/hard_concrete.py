"""Hard-concrete gates and their L0 penalty (Louizos et al., ICLR 2018; Voita et al., ACL 2019).

Pure functions of flat vectors of length H of log-odds, float64.
"""

import math

import torch
from torch import Tensor

TEMPERATURE = 0.33  # beta
LOW, HIGH = -0.1, 1.1  # gamma and zeta: the stretch
_SHIFT = TEMPERATURE * math.log(-LOW / HIGH)
_SMALLEST = 1e-6


def logistic_noise(size: int, generator: "torch.Generator | None" = None) -> Tensor:
    """logit(u) [size], float64, u uniform on (1e-6, 1 - 1e-6)."""
    uniform = torch.rand(size, dtype=torch.float64, generator=generator)
    return torch.logit(_SMALLEST + (1 - 2 * _SMALLEST) * uniform)


def hard_concrete(log_odds: Tensor, noise: Tensor) -> Tensor:
    """Gates [H] in [0, 1], 0 and 1 included: a stretched and clipped sigmoid of log-odds and noise [H].

    Louizos et al., eq. 10 and 11: s = sigmoid((logit u + a) / beta), clip(s (zeta - gamma) + gamma, 0, 1).
    """
    stretched = torch.sigmoid((noise + log_odds) / TEMPERATURE) * (HIGH - LOW) + LOW
    return stretched.clamp(0.0, 1.0)


def open_probability(log_odds: Tensor) -> Tensor:
    """Probability [H] that a gate is not 0 (Louizos et al., eq. 12); their sum is the penalty."""
    return torch.sigmoid(log_odds - _SHIFT)


def is_open(log_odds: Tensor) -> Tensor:
    """Whether a head is open at evaluation, bool [H]: its gate without noise is above a half.

    clip(sigmoid(a) (zeta - gamma) + gamma) > 1/2 is a > 0, for the stretch is symmetric.
    """
    return log_odds.detach() > 0
