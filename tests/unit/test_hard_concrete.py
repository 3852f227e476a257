"""L0 gates against the formulas of Louizos et al. (ICLR 2018), one head at a time."""

import math
from argparse import Namespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dsp_fairseq.families.transformer.inventory import transformer_inventory
from dsp_fairseq.gates.hard_concrete import hard_concrete, is_open, logistic_noise, open_probability
from dsp_fairseq.options.plan import Plan

log_odds = st.lists(st.floats(-12, 12), min_size=1, max_size=12)


@given(log_odds, st.integers(0, 99))
def test_gates_and_penalty_against_a_loop(odds, seed):
    uniform = torch.rand(len(odds), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    noise = torch.log(uniform) - torch.log1p(-uniform)
    a = torch.tensor(odds, dtype=torch.float64)
    gates, probability = hard_concrete(a, noise), open_probability(a)
    for h, u in enumerate(uniform.tolist()):
        s = 1 / (1 + math.exp(-(math.log(u) - math.log(1 - u) + odds[h]) / 0.33))
        assert float(gates[h]) == pytest.approx(min(1.0, max(0.0, s * 1.2 - 0.1)), abs=1e-9)
        expected = 1 / (1 + math.exp(-(odds[h] - 0.33 * math.log(0.1 / 1.1))))
        assert float(probability[h]) == pytest.approx(expected, rel=1e-9)


def test_open_probability_is_the_frequency_of_gates_above_zero():
    a = torch.tensor([-3.0, -1.0, 0.0, 1.0], dtype=torch.float64)
    noise = logistic_noise(4 * 40_000, torch.Generator().manual_seed(1)).view(-1, 4)
    frequency = (hard_concrete(a, noise) > 0).double().mean(dim=0)
    assert torch.allclose(frequency, open_probability(a), atol=0.01)


@given(log_odds)
def test_a_head_is_open_at_evaluation_where_its_gate_is_above_a_half(odds):
    a = torch.tensor(odds, dtype=torch.float64)
    gates = (torch.sigmoid(a) * 1.2 - 0.1).clamp(0, 1)
    clear = (gates - 0.5).abs() > 1e-9
    assert torch.equal(is_open(a)[clear], gates[clear] > 0.5)


def test_gradients():
    a = torch.randn(6, dtype=torch.float64, requires_grad=True)
    noise = logistic_noise(6, torch.Generator().manual_seed(3))
    assert torch.autograd.gradcheck(lambda x: hard_concrete(x, noise), a)
    assert torch.autograd.gradcheck(open_probability, a)


def test_without_a_budget_the_log_odds_count_and_other_kinds_stay():
    inventory = transformer_inventory(1, 2, 1, 3)  # 2 + 3 + 3
    logits = torch.tensor([1.0, -1, -1, -1, -1, 2, -2, 3])
    options = Namespace(pruning_method="l0", prunable="encoder.self,decoder.cross")
    mask = Plan.of(options, inventory).choice.mask(logits)
    assert mask.tolist() == [True, False, True, True, True, True, False, True]
    options.heads_to_keep = 4
    mask = Plan.of(options, inventory).choice.mask(logits)
    assert mask.tolist() == [
        False,
        False,
        True,
        True,
        True,
        False,
        False,
        True,
    ]
