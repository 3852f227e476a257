"""The distillation loss against a slow loop over tokens and types."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dsp_fairseq.criterions.distillation_loss import distillation_loss
from dsp_fairseq.criterions.label_smoothed_loss import label_smoothed_loss
from dsp_fairseq.criterions.loss_with_slope import ROWS

PADDING = 1


def slow_probabilities(logits, temperature):
    weights = [math.exp(x / temperature) for x in logits]
    return [weight / sum(weights) for weight in weights]


def slow_loss(student, teacher, target, weight, temperature):
    """METHODS 10, one token and one type at a time."""
    loss = 0.0
    for own, other, label in zip(student.tolist(), teacher.tolist(), target.tolist(), strict=True):
        if label == PADDING:
            continue
        p, q = slow_probabilities(own, temperature), slow_probabilities(other, temperature)
        divergence = sum(b * math.log(b / a) for a, b in zip(p, q, strict=True))
        loss += (1 - weight) * -math.log(slow_probabilities(own, 1.0)[label]) + weight * temperature**2 * divergence
    return loss


def drawn_case(tokens, types, seed):
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (2 * torch.randn(tokens, types, generator=generator) for _ in range(2))
    return student, teacher, torch.randint(0, types, (tokens,), generator=generator)


cases = st.builds(drawn_case, st.integers(1, 9), st.integers(2, 12), st.integers(0, 999))
weights, temperatures = st.floats(0, 1), st.floats(0.5, 8)


@given(cases, weights, temperatures)
def test_equals_the_slow_loop(case, weight, temperature):
    student, teacher, target = case
    loss, nll, divergence = distillation_loss(student, teacher, target, PADDING, weight, temperature)
    assert float(loss) == pytest.approx(slow_loss(*case, weight, temperature), rel=1e-4, abs=1e-4)
    assert float(nll) == pytest.approx(slow_loss(*case, 0.0, temperature), rel=1e-4, abs=1e-4)
    assert float(divergence) == pytest.approx(slow_loss(*case, 1.0, temperature), rel=1e-4, abs=1e-4)


def test_more_tokens_than_are_computed_at_a_time():
    """On a CPU some rows at a time: the sum and the gradient are those of the rows one by one."""
    student, teacher, target = drawn_case(2 * ROWS + 5, 7, seed=3)
    own, alone = (student.clone().requires_grad_() for _ in range(2))
    loss, _, divergence = distillation_loss(own, teacher, target, PADDING, 0.7, 2.0)
    loss.backward()
    rows = [
        distillation_loss(alone[i : i + 1], teacher[i : i + 1], target[i : i + 1], PADDING, 0.7, 2.0)
        for i in range(len(target))
    ]
    sum(row[0] for row in rows).backward()
    assert float(divergence) == pytest.approx(sum(float(row[2]) for row in rows), rel=1e-5)
    assert torch.allclose(own.grad, alone.grad, atol=1e-6)


@given(cases, weights, temperatures, st.floats(0, 0.5))
def test_the_gradient_is_that_of_the_formula_in_double_precision(case, weight, temperature, epsilon):
    student, teacher, target = case
    own = student.clone().requires_grad_()
    loss, _, _ = distillation_loss(own, teacher, target, PADDING, weight, temperature, epsilon)
    (3 * loss).backward()
    leaf, kept = student.double().requires_grad_(), target != PADDING
    log_p, log_t = leaf.log_softmax(dim=1)[kept], (leaf / temperature).log_softmax(dim=1)[kept]
    q = (teacher.double() / temperature).softmax(dim=1)[kept]
    smooth = epsilon / (student.size(1) - 1)
    nll = -log_p.gather(1, target[kept].unsqueeze(1)).sum()
    entropy = (1 - epsilon - smooth) * nll - smooth * log_p.sum()
    (3 * ((1 - weight) * entropy + weight * temperature**2 * (q * (q.log() - log_t)).sum())).backward()
    assert torch.allclose(own.grad.double(), leaf.grad, atol=1e-4)


@given(cases, temperatures)
def test_without_weight_it_is_the_label_smoothed_loss_and_its_own_teacher_teaches_nothing(case, temperature):
    student, teacher, target = case
    loss, _, _ = distillation_loss(student, teacher, target, PADDING, 0.0, temperature, 0.1)
    assert torch.equal(loss, label_smoothed_loss(student, target, 0.1, PADDING)[0])
    leaf = student.clone().requires_grad_()
    loss, _, divergence = distillation_loss(leaf, student, target, PADDING, 1.0, temperature)
    loss.backward()
    assert abs(float(divergence)) < 1e-4 and leaf.grad.abs().max() < 1e-5


def test_the_sum_over_sentences_does_not_depend_on_their_padding():
    student, teacher, target = drawn_case(4, 7, 3)
    target = torch.tensor([2, 3, 4, 5])
    loss = distillation_loss(student, teacher, target, PADDING, 0.9, 2.0)[0]
    padded = [torch.cat([each, torch.full((2, 7), value)]) for each, value in ((student, 0.5), (teacher, math.nan))]
    padded[0].requires_grad_()
    target = torch.cat([target, torch.tensor([PADDING, PADDING])])
    again = distillation_loss(*padded, target, PADDING, 0.9, 2.0)[0]
    assert float(again) == pytest.approx(float(loss), rel=1e-6)
    again.backward()
    assert (padded[0].grad[4:] == 0).all() and padded[0].grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_are_computed_in_single_and_get_half_precision_gradients(dtype):
    student, teacher, target = drawn_case(5, 300, 1)
    student, teacher = student.to(dtype).requires_grad_(), teacher.to(dtype).requires_grad_()
    loss, _, _ = distillation_loss(student, teacher, target, PADDING, 0.9, 2.0)
    single = distillation_loss(student.detach().float(), teacher.detach().float(), target, PADDING, 0.9, 2.0)[0]
    assert loss.dtype == torch.float32 and torch.equal(loss.detach(), single)
    loss.backward()
    assert student.grad.dtype == dtype and teacher.grad is None


def test_a_second_backward_is_refused():
    student, teacher, target = drawn_case(3, 7, 1)
    loss, _, _ = distillation_loss(student.requires_grad_(), teacher, target, PADDING, 0.9, 2.0)
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="once"):
        loss.backward()
