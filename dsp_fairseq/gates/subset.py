"""Differentiable choice of exactly k of H heads.

Pure functions of flat vectors of length H: nothing here knows a model. All arithmetic is in
float64, whatever the precision of the model that uses the gates.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .relaxed import Round, relaxed_picks

if TYPE_CHECKING:
    from .limits import Limits
    from .pool import Pool


def hard_top_k(logits: Tensor, k: int) -> Tensor:
    """Bool mask [H] of the k largest logits, exactly k True; of equal logits the first wins.

    Raises ValueError when k is not within 0..H.

    >>> hard_top_k(torch.tensor([0.5, 2.0, -1.0, 0.5]), 2)
    tensor([ True,  True, False, False])
    """
    _check_k(k, logits.numel())
    order = torch.argsort(logits.detach(), descending=True, stable=True)
    mask = torch.zeros(logits.shape, dtype=torch.bool, device=logits.device)
    mask[order[:k]] = True
    return mask


def straight_through_top_k(logits: Tensor, k: int, limits: "Pool | None" = None) -> Tensor:
    """{0, 1} gates [H], exactly k ones; the gradient passes to the logits unchanged (STE).

    With ``limits`` the k heads are the best that these allow, and heads that are in or out in any case get no gradient.

    >>> logits = torch.tensor([0.5, 2.0, -1.0], dtype=torch.float64, requires_grad=True)
    >>> gates = straight_through_top_k(logits, 1)
    >>> gates.tolist()
    [0.0, 1.0, 0.0]
    >>> (gates * torch.tensor([3.0, 4.0, 5.0])).sum().backward()
    >>> logits.grad.tolist()
    [3.0, 4.0, 5.0]
    """
    if limits is None:
        return hard_top_k(logits, k).to(logits.dtype) + (logits - logits.detach())
    moving = logits.where(limits.choosable, 0.0)
    return limits.mask(logits, k).to(logits.dtype) + (moving - moving.detach())


def gumbel_noise(size: int, generator: "torch.Generator | None" = None) -> Tensor:
    """Standard Gumbel noise [size], float64: -log(-log u), u uniform on the open interval (0, 1)."""
    uniform = torch.rand(size, dtype=torch.float64, generator=generator)
    smallest = torch.finfo(torch.float64).tiny
    return -torch.log(-torch.log(uniform.clamp(smallest, 1 - 2.0**-53)))


def gumbel_soft_top_k(
    logits: Tensor,
    k: int,
    temperature: float,
    noise: "Tensor | None" = None,
    limits: "Limits | None" = None,
    bounded: bool = False,
) -> Tensor:
    """Relaxed k-subset of Xie & Ermon (IJCAI 2019), used by DSP (TACL 2021, section 4).

    r = logits + noise; k times: p = softmax(r / temperature), r <- r + log(1 - p); gates = sum of p.

    Args:
        logits: importance logits [H], any float type.
        k: how many heads to keep, 0..H.
        temperature: > 0; towards 0 the gates become the hard top-k of the perturbed logits.
        noise: [H] added to the logits; standard Gumbel noise is drawn when it is None.
        limits: how many heads of a block at least and at most; a floor is made of picks from its block alone, heads
            that stay in any case have the gate 1, and every other one feels that another might be better.
        bounded: each gradient is clipped where that of a single softmax ends: at (largest - smallest gradient of the
            gates) / (4 temperature). That of k softmaxes in a row has no bound, and where two heads are nearly tied it
            is hundreds of times the usual one.

    Returns:
        gates [H], float64, >= 0 with sum k up to rounding (one entry may exceed 1).

    Raises:
        ValueError: k outside 0..H, or temperature not positive.

    >>> logits, no_noise = torch.tensor([0.5, 2.0, -1.0]), torch.zeros(3)
    >>> gumbel_soft_top_k(logits, 2, temperature=1.0, noise=no_noise).sum().item()
    2.0
    >>> gumbel_soft_top_k(logits, 2, temperature=1e-8, noise=no_noise).tolist()
    [1.0, 1.0, 0.0]
    """
    _check_k(k, logits.numel())
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    perturbed = logits.double() + (gumbel_noise(logits.numel()) if noise is None else noise.double())
    if limits is None or not limits.binding:
        everywhere = Round(slice(0, logits.numel()), k, precise=False)
        return relaxed_picks(perturbed, [everywhere], float(temperature), bounded)
    gates = relaxed_picks(perturbed, limits.rounds(k), float(temperature), bounded)
    return gates + limits.certain.to(gates)


def straight_through_gumbel_top_k(
    logits: Tensor, k: int, temperature: float, noise: Tensor, limits: "Limits | None" = None
) -> Tensor:
    """Hard top-k of the perturbed logits forward, gradient of the relaxed gates backward.

    Same arguments as :func:`gumbel_soft_top_k`; returns {0, 1} gates [H], float64, exactly k ones.
    """
    relaxed = gumbel_soft_top_k(logits, k, temperature, noise, limits)
    perturbed = logits.detach().double() + noise.double()
    hard = hard_top_k(perturbed, k) if limits is None else limits.mask(perturbed, k)
    return hard.double() + (relaxed - relaxed.detach())


def _check_k(k: int, heads: int) -> None:
    if not 0 <= k <= heads:
        raise ValueError(f"k must be within 0..{heads} (the number of heads), got {k}")
