"""The Lagrangian of hard-concrete gates: against loops, and it leads to its target."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dsp_fairseq.gates.expected_cost import ascended, expected_sparsity, sparsity_penalty, target_sparsity
from dsp_fairseq.gates.hard_concrete import hard_concrete, logistic_noise, open_probability
from dsp_fairseq.gates.logit_adam import LogitAdam

numbers = st.floats(-6, 6)
units = st.lists(st.tuples(numbers, st.integers(1, 9), st.booleans()), min_size=1, max_size=12)


@given(units)
def test_expected_sparsity_against_a_loop(drawn):
    odds, costs, certain = zip(*drawn, strict=True)
    log_odds = torch.tensor(odds, dtype=torch.float64, requires_grad=True)
    costs, certain = torch.tensor(costs), torch.tensor(certain)
    sparsity = expected_sparsity(log_odds, costs, certain)
    kept = 0.0
    for a, cost, stays in drawn:
        kept += cost * (1.0 if stays else 1 / (1 + math.exp(-(a - 0.33 * math.log(0.1 / 1.1)))))
    assert float(sparsity) == pytest.approx(1 - kept / sum(cost for _, cost, _ in drawn), abs=1e-12)
    sparsity.backward()
    assert (log_odds.grad[certain] == 0).all() and (log_odds.grad[~certain] < 0).all()


def test_expected_sparsity_is_the_mean_cost_of_gates_that_are_zero():
    log_odds, costs = torch.tensor([-2.0, 0.0, 1.5], dtype=torch.float64), torch.tensor([5.0, 1.0, 3.0])
    noise = logistic_noise(3 * 40_000, torch.Generator().manual_seed(1)).view(-1, 3)
    closed = (hard_concrete(log_odds, noise) == 0).double() @ costs.double() / 9
    assert float(expected_sparsity(log_odds, costs)) == pytest.approx(float(closed.mean()), abs=0.005)


@given(st.integers(1, 500), st.floats(0, 1), st.floats(0.01, 1))
def test_the_target_rises_linearly_and_stays(updates, final, warm_up):
    targets = [target_sparsity(update, final, updates, warm_up) for update in range(updates + 1)]
    assert targets[0] == 0 and targets[-1] == final
    steps = [after - before for before, after in pairwise(targets)]
    rising = math.ceil(warm_up * updates)
    assert all(step == pytest.approx(final / (warm_up * updates), abs=1e-9) for step in steps[: rising - 1])
    assert all(target == final for target in targets[rising:])


@given(numbers, st.floats(0, 1), numbers, numbers)
def test_the_penalty_is_the_formula_and_multipliers_go_up_its_gradient(sparsity, target, one, two):
    s = torch.tensor(sparsity, dtype=torch.float64, requires_grad=True)
    multipliers = torch.tensor([one, two], dtype=torch.float64, requires_grad=True)
    penalty = sparsity_penalty(s, target, multipliers)
    gap = sparsity - target
    assert float(penalty.detach()) == pytest.approx(one * gap + two * gap**2, rel=1e-9, abs=1e-9)
    penalty.backward()
    assert float(s.grad) == pytest.approx(one + 2 * two * gap, rel=1e-9, abs=1e-9)
    after = ascended(multipliers.detach(), s, target, rate=0.5)
    assert torch.allclose(after, multipliers.detach() + 0.5 * multipliers.grad)


@settings(max_examples=8, deadline=None)
@given(st.floats(-4, 6), st.floats(0.2, 0.8), st.floats(0, 2), st.integers(0, 99))
def test_from_any_start_the_expected_cost_approaches_the_target(start, final, worth, seed):
    """The toy loss pays for every unit that is closed, or, with worth 0, for nothing."""
    generator = torch.Generator().manual_seed(seed)
    costs = torch.tensor([4.0] * 10 + [1.0] * 30, dtype=torch.float64)
    value = worth * torch.rand(40, generator=generator, dtype=torch.float64)
    log_odds = start + torch.randn(40, generator=generator, dtype=torch.float64)
    multipliers, adam, updates, gaps = torch.zeros(2, dtype=torch.float64), LogitAdam(40, 0.05, pooled=False), 1000, []
    for update in range(updates):
        target, leaf = target_sparsity(update, final, updates), log_odds.clone().requires_grad_()
        sparsity = expected_sparsity(leaf, costs)
        loss = sparsity_penalty(sparsity, target, multipliers) - (value * torch.sigmoid(leaf)).mean()
        loss.backward()
        adam.step(log_odds, leaf.grad)
        multipliers = ascended(multipliers, sparsity, target, rate=0.5)
        kept = float(costs @ open_probability(log_odds)) / 70
        gaps.append(abs(kept - (1 - final)))
    assert max(gaps[-100:]) < 0.05
