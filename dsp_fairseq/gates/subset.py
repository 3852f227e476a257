"""Differentiable choice of exactly k of H units.

These are pure functions of flat vectors [H]. The arithmetic is in float64, whatever the precision of the model.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .relaxed import Round, relaxed_picks

if TYPE_CHECKING:
    from .limits import Limits
    from .pool import Pool


def hard_top_k(logits: Tensor, k: int) -> Tensor:
    """The mask of the k largest logits [H]: bool [H], exactly k True; among equal logits the first one wins.

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
    """Gates [H] of the k largest logits [H], exactly k ones and zeros elsewhere, by the straight-through estimator.

    The gradient of the gates passes to the logits unchanged (Bengio et al. 2013). With ``limits`` the gates are those
    of ``limits.mask``, and logits that do not change the choice get no gradient. Raises ValueError when k is not
    within 0..H.

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
        k: number of units to choose, 0..H.
        temperature: above 0; as it goes to 0 the gates become the hard top-k of the perturbed logits.
        noise: noise [H] that is added to the logits; None draws standard Gumbel noise.
        limits: floor and cap of the blocks. The floor of a block is filled by picks from this block alone; units that
            are kept in any case have the gate 1.
        bounded: clip the gradient of each logit to the largest that a single softmax can have, (largest - smallest
            gradient of the gates) / (4 temperature). The gradient of k successive softmaxes has no bound: where two
            units are nearly tied it is hundreds of times the usual one.

    Returns:
        gates [H], float64, at least 0, with sum k up to rounding; a single gate may exceed 1.

    Raises:
        ValueError: k is outside 0..H or below what the limits need, or the temperature is not positive.

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
    """Gates [H] of the k largest perturbed logits, float64, exactly k ones, with the gradient of the relaxed gates.

    The arguments and errors are those of :func:`gumbel_soft_top_k`.
    """
    relaxed = gumbel_soft_top_k(logits, k, temperature, noise, limits)
    perturbed = logits.detach().double() + noise.double()
    hard = hard_top_k(perturbed, k) if limits is None else limits.mask(perturbed, k)
    return hard.double() + (relaxed - relaxed.detach())


def _check_k(k: int, units: int) -> None:
    if not 0 <= k <= units:
        raise ValueError(f"k must be within 0..{units} (the number of units), got {k}")
