"""METHODS laws 3, 4 and 5: exactly k, sum k, right limit, right frequencies, right gradients."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dsp_fairseq.gates import (
    gumbel_noise,
    gumbel_soft_top_k,
    hard_top_k,
    straight_through_gumbel_top_k,
    straight_through_top_k,
)

# few distinct values, so that ties are common
values = st.one_of(st.integers(-3, 3).map(float), st.floats(-20, 20))
logit_lists = st.lists(values, min_size=1, max_size=24)


@st.composite
def choices(draw):
    logits = torch.tensor(draw(logit_lists), dtype=torch.float64)
    k = draw(st.sampled_from(sorted({0, 1, logits.numel() - 1, logits.numel()})))
    if draw(st.booleans()):
        k = draw(st.integers(0, logits.numel()))
    return logits, k


def slow_soft_top_k(logits, k, temperature, noise):
    """Xie & Ermon (2019), algorithm 2, one head at a time."""
    r = [float(w + e) for w, e in zip(logits, noise, strict=True)]
    gates = [0.0] * len(r)
    for _ in range(k):
        largest = max(r)
        weights = [math.exp((x - largest) / temperature) for x in r]
        total = sum(weights)
        for h, weight in enumerate(weights):
            p = weight / total
            gates[h] += p
            r[h] += math.log1p(-p) if p < 1 else -math.inf
    return torch.tensor(gates, dtype=torch.float64)


@given(choices())
def test_hard_top_k_is_exact_and_takes_the_largest(choice):
    logits, k = choice
    mask = hard_top_k(logits, k)
    assert mask.sum() == k
    if 0 < k < logits.numel():
        assert logits[mask].min() >= logits[~mask].max()


def test_hard_top_k_takes_the_first_of_equals():
    assert hard_top_k(torch.zeros(5), 2).tolist() == [True, True, False, False, False]


@pytest.mark.parametrize("k", [-1, 4])
def test_k_outside_is_refused(k):
    with pytest.raises(ValueError, match=r"0\.\.3"):
        hard_top_k(torch.zeros(3), k)
    with pytest.raises(ValueError, match=r"0\.\.3"):
        gumbel_soft_top_k(torch.zeros(3), k, 1.0)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_temperature_must_be_positive(temperature):
    with pytest.raises(ValueError, match="temperature"):
        gumbel_soft_top_k(torch.zeros(3), 1, temperature)


@given(choices(), st.floats(-8, 3).map(lambda x: 10.0**x), st.integers(0, 9))
def test_soft_gates_sum_to_k_at_every_temperature(choice, temperature, seed):
    logits, k = choice
    noise = gumbel_noise(logits.numel(), torch.Generator().manual_seed(seed))
    gates = gumbel_soft_top_k(logits, k, temperature, noise)
    assert gates.dtype == torch.float64
    assert (gates >= 0).all()
    assert gates.sum().item() == pytest.approx(k, abs=1e-9 * max(k, 1))


@given(choices(), st.floats(-2, 3).map(lambda x: 10.0**x), st.integers(0, 9))
def test_soft_gates_equal_the_slow_loop(choice, temperature, seed):
    logits, k = choice
    noise = gumbel_noise(logits.numel(), torch.Generator().manual_seed(seed))
    fast = gumbel_soft_top_k(logits, k, temperature, noise)
    assert torch.allclose(fast, slow_soft_top_k(logits, k, temperature, noise), atol=1e-9)


@given(choices(), st.integers(0, 9))
def test_limit_of_low_temperature_is_the_hard_choice(choice, seed):
    logits, k = choice
    noise = gumbel_noise(logits.numel(), torch.Generator().manual_seed(seed))
    gates = gumbel_soft_top_k(logits, k, 1e-8, noise)
    assert torch.allclose(gates, hard_top_k(logits + noise, k).double(), atol=1e-6)


@given(choices(), st.floats(-8, 3).map(lambda x: 10.0**x), st.booleans())
def test_gradients_are_finite(choice, temperature, ties):
    logits, k = choice
    logits = (torch.zeros_like(logits) if ties else logits).requires_grad_()
    noise = torch.zeros_like(logits) if ties else gumbel_noise(logits.numel())
    gates = gumbel_soft_top_k(logits, k, temperature, noise)
    (gates * torch.linspace(-1, 1, logits.numel(), dtype=torch.float64)).sum().backward()
    assert logits.grad.isfinite().all()


def test_gradients_are_finite_for_many_tied_steps():
    logits = torch.zeros(120, dtype=torch.float64, requires_grad=True)
    gates = gumbel_soft_top_k(logits, 100, 1e-8, torch.zeros(120))
    (gates * torch.randn(120, dtype=torch.float64)).sum().backward()
    assert logits.grad.isfinite().all()


@settings(max_examples=25)
@given(st.integers(2, 8), st.integers(0, 8), st.floats(0.2, 10), st.integers(0, 99))
def test_soft_gates_pass_gradcheck(heads, k, temperature, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(heads, dtype=torch.float64, generator=generator).requires_grad_()
    noise = gumbel_noise(heads, generator)
    k = min(k, heads)
    assert torch.autograd.gradcheck(lambda w: gumbel_soft_top_k(w, k, temperature, noise), (logits,), atol=1e-5)


@given(choices(), st.floats(-8, 1).map(lambda x: 10.0**x), st.integers(0, 99))
def test_a_bounded_gradient_is_no_steeper_than_that_of_one_softmax(choice, temperature, seed):
    logits, k = choice
    generator = torch.Generator().manual_seed(seed)
    noise = gumbel_noise(logits.numel(), generator)
    slope = torch.randn(logits.numel(), dtype=torch.float64, generator=generator)
    gradients = []
    for bounded in (False, True):
        leaf = logits.clone().requires_grad_()
        gates = gumbel_soft_top_k(leaf, k, temperature, noise, bounded=bounded)
        (gates * slope).sum().backward()
        gradients.append(leaf.grad)
    true, own = gradients
    limit = (slope.max() - slope.min()) / (4 * temperature)
    assert (own.abs() <= limit).all()
    assert torch.equal(own[own.abs() < limit * 0.999], true[own.abs() < limit * 0.999])
    assert (own * true >= 0).all()
    if k == 1:
        assert torch.allclose(own, true, rtol=1e-9, atol=0)


def test_inclusion_frequencies_match_sampling_without_replacement():
    heads, k, draws = 6, 3, 4000
    logits = torch.tensor([1.5, 1.0, 0.0, 0.0, -1.0, -2.0], dtype=torch.float64)
    generator = torch.Generator().manual_seed(3)
    taken = torch.zeros(heads, dtype=torch.float64)
    plain = torch.zeros(heads, dtype=torch.float64)
    for _ in range(draws):
        taken += gumbel_soft_top_k(logits, k, 1e-6, gumbel_noise(heads, generator))
        # Plackett-Luce: k draws without replacement, probabilities proportional to exp(logit)
        plain[torch.multinomial(logits.exp(), k, generator=generator)] += 1
    # standard error of a difference of two frequencies is below 0.012
    assert torch.allclose(taken / draws, plain / draws, atol=0.045)


@given(choices())
def test_straight_through_is_hard_forward_and_identity_backward(choice):
    logits, k = choice
    logits.requires_grad_()
    gates = straight_through_top_k(logits, k)
    assert torch.equal(gates.detach(), hard_top_k(logits, k).double())
    slope = torch.arange(logits.numel(), dtype=torch.float64)
    (gates * slope).sum().backward()
    assert torch.equal(logits.grad, slope)


@given(choices(), st.floats(0.1, 2), st.integers(0, 9))
def test_straight_through_sampling_is_hard_forward_and_relaxed_backward(choice, temperature, seed):
    logits, k = choice
    noise = gumbel_noise(logits.numel(), torch.Generator().manual_seed(seed))
    slope = torch.arange(logits.numel(), dtype=torch.float64)
    gradients = []
    for function in (straight_through_gumbel_top_k, gumbel_soft_top_k):
        leaf = logits.clone().requires_grad_()
        gates = function(leaf, k, temperature, noise)
        (gates * slope).sum().backward()
        gradients.append(leaf.grad)
        if function is straight_through_gumbel_top_k:
            assert torch.equal(gates.detach(), hard_top_k(logits + noise, k).double())
    assert torch.allclose(*gradients)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_low_precision_logits_are_sampled_in_double(dtype):
    logits = torch.randn(9).to(dtype).requires_grad_()
    noise = gumbel_noise(9)
    gates = gumbel_soft_top_k(logits, 4, 0.3, noise)
    assert torch.equal(gates, gumbel_soft_top_k(logits.detach().double(), 4, 0.3, noise))
    gates.square().sum().backward()
    assert logits.grad.dtype == dtype
