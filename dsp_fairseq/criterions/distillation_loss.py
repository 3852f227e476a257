"""Word-level distillation (Hinton et al. 2015): cross entropy and the divergence from a teacher's distribution."""

import torch
from torch import Tensor

from .label_smoothed_loss import smoothed_entropy
from .loss_with_slope import summed_loss


def distillation_loss(
    student: Tensor,
    teacher: Tensor,
    target: Tensor,
    padding: int,
    weight: float,
    temperature: float,
    epsilon: float = 0.0,
) -> tuple[Tensor, Tensor, Tensor]:
    """(1 - weight) CE + weight T^2 KL(teacher || student), summed over the tokens of the target.

    Both distributions of the divergence are softmaxes of logits / T; T^2 keeps the size of its gradient the same at
    every T. Divided by the number of target tokens it is a loss per token, whatever the length of the sentences. All
    arithmetic is float32. The values of padding tokens can be anything, even infinite.

    Args:
        student, teacher: logits [tokens, V], any float types; only the student's have a gradient.
        target: [tokens], int64; tokens equal to ``padding`` count for nothing.
        weight: 0..1, of the divergence.
        temperature: T, > 0.
        epsilon: label smoothing of the cross entropy.

    Returns:
        (loss, nll, divergence), scalars, float32: the loss, which alone has a gradient and can be differentiated once;
        negative log-likelihood without smoothing; and T^2 KL.
    """

    def of_rows(slope, student, target, teacher):
        entropy, nll = smoothed_entropy(epsilon, slope, student, target)
        divergence, difference = _divergence(student, teacher, temperature)
        divergence.mul_(temperature**2)
        slope.mul_(1.0 - weight).add_(difference, alpha=weight * temperature)
        return (1.0 - weight) * entropy + weight * divergence, nll, divergence

    loss, nll, divergence = summed_loss(of_rows, padding, student, target, teacher)
    return loss, nll, divergence


def _divergence(student: Tensor, teacher: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """KL(teacher || student) of every token, [tokens], and p_student - p_teacher [tokens, V].

    The slope of T^2 KL with respect to the student's logits is T (p_student - p_teacher).
    """
    own, others = student.float() / temperature, teacher.float() / temperature
    p, q = torch.softmax(own, dim=-1), torch.softmax(others, dim=-1)
    # log of the sum of exp, of both
    of_own, of_others = (x.amax(dim=1) - y.amax(dim=1).log() for x, y in ((own, p), (others, q)))
    divergence = others.sub_(own).mul_(q).sum(dim=1) + of_own - of_others
    return divergence, p.sub_(q)
