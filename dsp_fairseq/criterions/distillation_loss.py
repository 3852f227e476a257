"""Word-level distillation (Hinton et al. 2015): cross entropy and the divergence from a teacher's distribution."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .label_smoothed_loss import label_smoothed_loss


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
    arithmetic is float32.

    Args:
        student, teacher: logits [tokens, V], any float types; only the student's have a gradient.
        target: [tokens], int64; tokens equal to ``padding`` count for nothing.
        weight: 0..1, of the divergence.
        temperature: T, > 0.
        epsilon: label smoothing of the cross entropy.

    Returns:
        (loss, nll, divergence), scalars, float32: the loss, which alone has a gradient; negative log-likelihood without
        smoothing; and T^2 KL.
    """
    entropy, nll = label_smoothed_loss(student, target, epsilon, padding)
    divergence = _Divergence.apply(student, teacher.detach(), target.ne(padding), temperature)
    return (1.0 - weight) * entropy + weight * divergence, nll, divergence.detach()


ROWS = 32  # tokens at a time on a CPU, whose cache holds so many rows of the vocabulary: half the time of all at once


class _Divergence(torch.autograd.Function):
    """T^2 KL(teacher || student), summed; its gradient is T (p_student - p_teacher)."""

    @staticmethod
    def forward(ctx, student, teacher, counts, temperature):
        counts = counts.unsqueeze(1)  # [tokens] -> [tokens, 1]
        total = student.new_zeros((), dtype=torch.float32)
        ctx.slope = torch.empty_like(student, dtype=torch.float32)
        rows = ROWS if student.device.type == "cpu" else max(len(student), 1)
        pieces = (tensor.split(rows) for tensor in (student, teacher, counts, ctx.slope))
        for of_student, of_teacher, counted, slope in zip(*pieces, strict=True):
            log_p = F.log_softmax(of_student.float() / temperature, dim=-1)
            log_q = F.log_softmax(of_teacher.float() / temperature, dim=-1)
            q = torch.exp(log_q, out=slope)
            # [tokens, V] -> [tokens, 1]; the values of padding tokens can be anything, even infinite
            total += (q * log_q.sub_(log_p)).sum(dim=1, keepdim=True).where(counted, 0.0).sum()
            torch.sub(log_p.exp_(), q, out=slope).mul_(temperature).masked_fill_(~counted, 0.0)
        ctx.dtype = student.dtype
        return temperature**2 * total

    @staticmethod
    def backward(ctx, grad):
        if ctx.slope is None:
            raise RuntimeError("distillation_loss can be differentiated once: it reuses its memory")
        slope, ctx.slope = ctx.slope, None
        return slope.mul_(grad).to(ctx.dtype), None, None, None
