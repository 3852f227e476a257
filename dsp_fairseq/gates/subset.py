"""Differentiable choice of exactly k of H heads.

Pure functions of flat vectors of length H: nothing here knows a model. All arithmetic is in
float64, whatever the precision of the model that uses the gates.
"""

import numpy as np
import torch
from torch import Tensor

# Where the relaxation is unstable (ties at a very low temperature) its true gradient grows like
# (1/temperature)**k and leaves float64; it is cut off here, far above anything an optimiser uses.
_GRADIENT_LIMIT = 1e100


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


def straight_through_top_k(logits: Tensor, k: int, offsets: "Tensor | None" = None) -> Tensor:
    """{0, 1} gates [H], exactly k ones; the gradient passes to the logits unchanged (STE).

    ``offsets`` [H] are added to the logits before the k largest are taken (see ``Limits``).

    >>> logits = torch.tensor([0.5, 2.0, -1.0], dtype=torch.float64, requires_grad=True)
    >>> gates = straight_through_top_k(logits, 1)
    >>> gates.tolist()
    [0.0, 1.0, 0.0]
    >>> (gates * torch.tensor([3.0, 4.0, 5.0])).sum().backward()
    >>> logits.grad.tolist()
    [3.0, 4.0, 5.0]
    """
    hard = hard_top_k(logits if offsets is None else logits + offsets, k).to(logits.dtype)
    return hard + (logits - logits.detach())


def gumbel_noise(size: int, generator: "torch.Generator | None" = None) -> Tensor:
    """Standard Gumbel noise [size], float64: -log(-log u), u uniform on the open interval (0, 1)."""
    uniform = torch.rand(size, dtype=torch.float64, generator=generator)
    smallest = torch.finfo(torch.float64).tiny
    return -torch.log(-torch.log(uniform.clamp(smallest, 1 - 2.0**-53)))


def gumbel_soft_top_k(
    logits: Tensor, k: int, temperature: float, noise: "Tensor | None" = None
) -> Tensor:
    """Relaxed k-subset of Xie & Ermon (IJCAI 2019), used by DSP (TACL 2021, section 4).

    r = logits + noise; k times: p = softmax(r / temperature), r <- r + log(1 - p); gates = sum of p.

    Args:
        logits: importance logits [H], any float type.
        k: how many heads to keep, 0..H.
        temperature: > 0; towards 0 the gates become the hard top-k of the perturbed logits.
        noise: [H] added to the logits; standard Gumbel noise is drawn when it is None. Minus infinity
            rules a head out.

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
    return _RelaxedTopK.apply(perturbed, k, float(temperature))


def straight_through_gumbel_top_k(
    logits: Tensor, k: int, temperature: float, noise: Tensor
) -> Tensor:
    """Hard top-k of the perturbed logits forward, gradient of the relaxed gates backward.

    Same arguments as :func:`gumbel_soft_top_k`; returns {0, 1} gates [H], float64, exactly k ones.
    """
    relaxed = gumbel_soft_top_k(logits, k, temperature, noise)
    hard = hard_top_k(logits.double() + noise.double(), k).double()
    return hard + (relaxed - relaxed.detach())


class _RelaxedTopK(torch.autograd.Function):
    """The k sequential softmaxes and their derivative.

    Each step touches H numbers, so the cost is that of calling into the library: numpy's calls
    are several times cheaper than torch's, and the backward pass is written out for that reason.
    """

    @staticmethod
    def forward(ctx, perturbed: Tensor, k: int, temperature: float) -> Tensor:
        scores = perturbed.detach().cpu().numpy() / temperature  # r / t, [H]
        picks = np.empty((k, scores.size))  # p_1 .. p_k, [k, H]
        left = np.empty_like(scores)
        with np.errstate(divide="ignore"):
            for p in picks:
                np.subtract(scores, np.maximum.reduce(scores), out=p)
                np.exp(p, out=p)
                np.divide(p, np.add.reduce(p), out=p)
                # 1 - p == 0 gives -inf: a head that was taken for certain is never taken again
                np.negative(p, out=left)
                np.log1p(left, out=left)
                np.divide(left, temperature, out=left)
                np.add(scores, left, out=scores)
        ctx.picks, ctx.temperature = picks, temperature
        return torch.from_numpy(picks.sum(axis=0)).to(perturbed.device)

    @staticmethod
    def backward(ctx, grad_gates: Tensor):
        picks, temperature = ctx.picks, ctx.temperature
        grad = grad_gates.detach().double().cpu().numpy()
        left = 1.0 - picks
        # d log(1 - p) / dp; nothing flows through a head that was taken for certain
        slopes = np.divide(-1.0, left * temperature, out=np.zeros_like(left), where=left > 0)
        grad_scores = np.zeros_like(grad)
        grad_p = np.empty_like(grad)
        for p, slope in zip(picks[::-1], slopes[::-1]):
            np.multiply(grad_scores, slope, out=grad_p)
            np.add(grad_p, grad, out=grad_p)
            if not grad_p.dot(grad_p) < _GRADIENT_LIMIT**2:
                np.clip(grad_p, -_GRADIENT_LIMIT, _GRADIENT_LIMIT, out=grad_p)
            np.subtract(grad_p, grad_p.dot(p), out=grad_p)
            np.multiply(grad_p, p, out=grad_p)
            np.add(grad_scores, grad_p, out=grad_scores)
        return torch.from_numpy(grad_scores / temperature).to(grad_gates.device), None, None


def _check_k(k: int, heads: int) -> None:
    if not 0 <= k <= heads:
        raise ValueError(f"k must be within 0..{heads} (the number of heads), got {k}")
