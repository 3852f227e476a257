"""The hard choice under a budget of cost, against every choice there is."""

from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from priced_cases import cost_of, per_block, priced_choices, priced_units

from dsp_fairseq.gates.budgeted_mask import budgeted_mask
from dsp_fairseq.gates.limits import Limits
from dsp_fairseq.gates.priced_units import PricedUnits

few_scores = st.integers(-3, 3)  # ties are common


@st.composite
def tied_choices(draw):
    units, budget, logits, _ = draw(priced_choices(largest=3))
    if draw(st.booleans()):
        logits = torch.tensor([float(draw(few_scores)) for _ in logits])
    return units, budget, logits


def masks_that_fit(units, budget):
    """Every mask within the limits whose cost is at most the budget."""
    for flags in product([False, True], repeat=sum(units.sizes)):
        mask = torch.tensor(flags)
        counts = per_block(units, mask)
        if cost_of(units, mask) <= budget and all(
            low <= count <= high for low, count, high in zip(units.floors, counts, units.caps, strict=True)
        ):
            yield mask


@settings(max_examples=80, deadline=None)
@given(tied_choices())
def test_the_mask_has_the_better_unit_wherever_it_differs_from_another_that_fits(choice):
    units, budget, scores = choice
    best_first = sorted(range(len(scores)), key=lambda unit: (-float(scores[unit]), unit))
    best = max(masks_that_fit(units, budget), key=lambda mask: [bool(mask[unit]) for unit in best_first])
    assert torch.equal(budgeted_mask(scores, units, budget), best)


@settings(max_examples=80, deadline=None)
@given(tied_choices())
def test_nothing_more_fits(choice):
    units, budget, scores = choice
    mask = budgeted_mask(scores, units, budget)
    slack = budget - units.cost(mask.numpy())
    assert slack >= 0
    for cost, size, most, count in zip(units.costs, units.sizes, units.caps, per_block(units, mask), strict=True):
        assert count == most or cost > slack, (cost, size)


@settings(max_examples=80, deadline=None)
@given(tied_choices())
def test_the_value_is_within_one_unit_of_the_best_possible(choice):
    units, budget, scores = choice
    per_cost = scores - scores.min() + 0.5  # positive
    value = per_cost * torch.from_numpy(units.unit_costs)
    best = max(float(value[mask].sum()) for mask in masks_that_fit(units, budget))
    own = float(value[budgeted_mask(per_cost, units, budget)].sum())
    assert best - own <= float(value.max()) + 1e-9


@st.composite
def limits_and_scores(draw):
    sizes = tuple(draw(st.lists(st.integers(0, 5), min_size=1, max_size=6).filter(sum)))
    cap = draw(st.none() | st.integers(0, 6))
    floor = draw(st.integers(0, 5 if cap is None else cap))
    limits = Limits(sizes, cap, floor, tuple(draw(st.booleans()) for _ in sizes))
    scores = torch.tensor([draw(few_scores | st.floats(-9, 9)) for _ in range(sum(sizes))], dtype=torch.float64)
    return limits, scores, draw(st.integers(limits.least, limits.most))


@settings(max_examples=200)
@given(limits_and_scores(), st.integers(1, 9), st.integers(0, 8))
def test_with_equal_costs_the_mask_is_the_top_k_within_the_limits(drawn, cost, odd):
    limits, scores, k = drawn
    least, most = limits.bounds(k)
    units = PricedUnits(limits.sizes, (cost,) * len(limits.sizes), least, most)
    assert torch.equal(budgeted_mask(scores, units, k * cost + odd % cost), limits.mask(scores, k))


@given(priced_units())
def test_more_than_everything_costs_keeps_all_that_may_be_kept(units):
    mask = budgeted_mask(torch.zeros(sum(units.sizes)), units, units.cost_of_caps + 9)
    assert per_block(units, mask) == list(units.caps)


def test_less_than_the_limits_ask_for_is_refused():
    units = PricedUnits((2, 1), (3, 4), floors=(1, 1))
    with pytest.raises(ValueError, match="at least 7, which the limits ask for, got 6"):
        budgeted_mask(torch.zeros(3), units, 6)


@pytest.mark.parametrize(
    ("least", "most", "cost"), [((-1,), (2,), 1), ((2,), (1,), 1), ((0,), (3,), 1), ((0,), (2,), 0)]
)
def test_limits_that_cannot_be_are_refused(least, most, cost):
    with pytest.raises(ValueError, match="a block needs"):
        PricedUnits((2,), (cost,), least, most)


def test_thousands_of_equal_scores_are_taken_in_order():
    units = PricedUnits((3000, 2000), (2, 3))
    mask = budgeted_mask(torch.zeros(5000), units, 6100)
    assert per_block(units, mask) == [3000, 33]
    assert mask[:3033].all()
