"""The cut through all scores: exact budget, right limit, right gradients; against a slow oracle and K softmaxes."""

import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from priced_cases import cost_of, per_block, priced_choices

from dsp_fairseq.gates import gumbel_noise, gumbel_soft_top_k, hard_top_k
from dsp_fairseq.gates.budgeted_mask import budgeted_mask
from dsp_fairseq.gates.cut import gumbel_soft_cut, straight_through_gumbel_cut
from dsp_fairseq.gates.limits import Limits
from dsp_fairseq.gates.priced_units import PricedUnits

temperatures = st.floats(-8, 3).map(lambda x: 10.0**x)
moderate = st.floats(-1, 1).map(lambda x: 10.0**x)


def slow_sigmoid(x):
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


def slow_bisection(falling, low, high):
    for _ in range(200):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if falling(middle) > 0 else (low, middle)
    return 0.5 * (low + high)


def slow_gates(units, budget, r, temperature):
    """METHODS 7 with a cut for each block that is at a limit: nested bisections, one unit at a time."""
    pieces = [piece.tolist() for piece in r.split(units.sizes)]
    lowest, highest = float(r.min()) - 800 * temperature, float(r.max()) + 800 * temperature

    def total(piece, cut):
        return sum(slow_sigmoid((x - cut) / temperature) for x in piece)

    def limited(cut):
        bounds = zip(pieces, units.floors, units.caps, strict=True)
        return [min(max(total(piece, cut), least), most) for piece, least, most in bounds]

    cut = slow_bisection(
        lambda c: sum(n * cost for n, cost in zip(limited(c), units.costs, strict=True)) - budget, lowest, highest
    )
    gates = []
    for piece, count in zip(pieces, limited(cut), strict=True):
        own = slow_bisection(lambda c, piece=piece, count=count: total(piece, c) - count, lowest, highest)
        gates += [slow_sigmoid((x - own) / temperature) for x in piece]
    return torch.tensor(gates, dtype=torch.float64)


@settings(max_examples=60, deadline=None)
@given(priced_choices(), moderate)
def test_gates_equal_the_slow_oracle(choice, temperature):
    units, budget, logits, noise = choice
    gates = gumbel_soft_cut(logits, noise, units, budget, temperature)
    assert torch.allclose(gates, slow_gates(units, budget, logits + noise, temperature), atol=1e-7)


@settings(max_examples=300)
@given(priced_choices(), temperatures)
def test_the_cost_is_the_budget_and_every_block_is_within_its_limits_at_every_temperature(choice, temperature):
    units, budget, logits, noise = choice
    gates = gumbel_soft_cut(logits, noise, units, budget, temperature)
    assert gates.dtype == torch.float64
    assert (gates >= 0).all() and (gates <= 1).all()
    assert cost_of(units, gates) == pytest.approx(budget, rel=1e-10, abs=1e-10)
    for least, count, most in zip(units.floors, per_block(units, gates), units.caps, strict=True):
        assert least - 1e-10 <= count <= most + 1e-10


@settings(max_examples=200)
@given(priced_choices())
def test_towards_temperature_0_the_gates_are_the_hard_choice_up_to_the_unit_that_does_not_fit(choice):
    units, budget, logits, noise = choice
    gates = gumbel_soft_cut(logits, noise, units, budget, 1e-8)
    mask = budgeted_mask(logits + noise, units, budget)
    assert (gates > 1e-6).logical_and(gates < 1 - 1e-6).sum() <= 1
    differing = torch.nonzero((gates - mask.double()).abs() > 1e-6).flatten()
    worse_than = (logits + noise)[differing].max() if len(differing) else -math.inf
    fits = units.cost(mask.numpy()) == budget and len(set(units.costs)) == 1
    assert not (fits and len(differing))
    assert len(differing) == 0 or gates[differing][(logits + noise)[differing].argmax()] > 1e-6
    # nothing better than the fractional unit differs
    assert torch.equal(gates[logits + noise > worse_than].round().bool(), mask[logits + noise > worse_than])


@settings(max_examples=100)
@given(priced_choices(costs=(3,)))
def test_with_equal_costs_the_limit_is_the_top_k(choice):
    units, budget, logits, noise = choice
    budget -= budget % 3
    gates = gumbel_soft_cut(logits, noise, units, budget, 1e-8)
    assert torch.allclose(gates, budgeted_mask(logits + noise, units, budget).double(), atol=1e-6)


@settings(max_examples=200)
@given(priced_choices(), temperatures, st.booleans())
def test_gradients_are_finite_and_no_steeper_than_that_of_one_sigmoid(choice, temperature, ties):
    units, budget, logits, noise = choice
    logits = (torch.zeros_like(logits) if ties else logits).requires_grad_()
    noise = torch.zeros_like(noise) if ties else noise
    slope = torch.randn_like(noise)
    (gumbel_soft_cut(logits, noise, units, budget, temperature) * slope).sum().backward()
    assert logits.grad.isfinite().all()
    costs = torch.from_numpy(units.unit_costs)
    spread = (slope / costs).max() - (slope / costs).min()
    assert (logits.grad.abs() <= spread * costs / (4 * temperature) * (1 + 1e-9)).all()


def own_cuts(gates, r, temperature):
    """The cut that each unit was compared with; infinite where the gate does not say."""
    return r - temperature * torch.logit(gates.detach())


def away_from_kinks(units, gates, r, temperature):
    """No block is just about to reach a limit or to leave it, and no gate is 0 or 1 but for rounding."""
    if len(r) != int(((gates > 1e-4) & (gates < 1 - 1e-4)).sum()):
        return False
    cuts = own_cuts(gates, r, temperature)
    bound, free = [], []
    for count, least, most, piece in zip(
        per_block(units, gates), units.floors, units.caps, cuts.split(units.sizes), strict=True
    ):
        at_limit = min(abs(count - least), abs(count - most)) < 1e-9
        near = min(abs(count - least), abs(count - most)) < 1e-3
        if near and not at_limit:
            return False
        (bound if at_limit else free).extend(piece[:1].tolist())
    return all(abs(one - other) > 1e-3 for one in bound for other in free)


@settings(max_examples=60, deadline=None)
@given(priced_choices(), st.floats(0.3, 5))
def test_gradients_equal_finite_differences(choice, temperature):
    units, budget, logits, noise = choice
    gates = gumbel_soft_cut(logits, noise, units, budget, temperature)
    assume(away_from_kinks(units, gates, logits + noise, temperature))
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda w: gumbel_soft_cut(w, noise, units, budget, temperature), (logits,))


@pytest.mark.parametrize(
    ("least", "most"), [((0, 0, 0), (4, 3, 2)), ((0, 2, 0), (4, 3, 2)), ((0, 0, 0), (1, 3, 2)), ((0, 2, 0), (1, 3, 2))]
)
def test_gradients_equal_finite_differences_with_floors_and_caps_that_bind(least, most):
    units = PricedUnits((4, 3, 2), (5, 2, 1), least, most)
    r = torch.tensor([3.0, 2.5, 2.0, 2.2, -1.0, -1.5, -1.2, 1.0, 0.5], dtype=torch.float64, requires_grad=True)
    zero = torch.zeros_like(r)
    gates = gumbel_soft_cut(r, zero, units, 10, 0.7)
    counts = per_block(units, gates)
    assert (counts[0] == pytest.approx(1, abs=1e-9)) == (most[0] == 1)
    assert (counts[1] == pytest.approx(2, abs=1e-9)) == (least[1] == 2)
    assert torch.autograd.gradcheck(lambda w: gumbel_soft_cut(w, zero, units, 10, 0.7), (r,))


@settings(max_examples=200)
@given(priced_choices(), st.floats(0.3, 5))
def test_every_unit_with_a_rival_has_a_gradient_and_no_other(choice, temperature):
    """Rivals share a cut: all units of a block at its limit, all units of the blocks between their limits."""
    units, budget, logits, noise = choice
    logits.requires_grad_()
    gates = gumbel_soft_cut(logits, noise, units, budget, temperature)
    (gates * torch.rand_like(logits)).sum().backward()
    decided = budget in (units.cost_of_floors, units.cost_of_caps)
    bound = []
    for size, least, count, most in zip(units.sizes, units.floors, per_block(units, gates), units.caps, strict=True):
        limits = {n for n, real in ((least, least > 0), (most, most < size)) if real or decided}
        bound.append(any(abs(count - limit) < 1e-9 for limit in limits))
    free = sum(size for size, at_limit in zip(units.sizes, bound, strict=True) if not at_limit)
    rivals = []
    for size, at_limit, count in zip(units.sizes, bound, per_block(units, gates), strict=True):
        rivals += [0 < round(count) < size if at_limit else free > 1] * size
    rivals = torch.tensor(rivals)
    assert (logits.grad[rivals] != 0).all()
    assert (logits.grad[~rivals] == 0).all()


@settings(max_examples=100)
@given(priced_choices(), st.floats(-3, 1).map(lambda x: 10.0**x))
def test_limits_that_are_not_reached_change_neither_gates_nor_gradients(choice, temperature):
    units, budget, logits, noise = choice
    found = []
    units = PricedUnits(units.sizes, units.costs)
    counts = per_block(units, gumbel_soft_cut(logits, noise, units, budget, temperature))
    # cold gates sum to whole numbers but for rounding
    least, most = (tuple(f(x + d) for x in counts) for f, d in ((math.floor, 1e-12), (math.ceil, -1e-12)))
    assume(all(low < high for low, high in zip(least, most, strict=True)))
    for each in (units, PricedUnits(units.sizes, units.costs, least, most)):
        leaf = logits.clone().requires_grad_()
        gates = gumbel_soft_cut(leaf, noise, each, budget, temperature)
        (gates * torch.linspace(1, 2, len(leaf), dtype=torch.float64)).sum().backward()
        found.append((gates.detach(), leaf.grad))
    for free, limited in zip(*found, strict=True):
        assert torch.allclose(free, limited, rtol=1e-6, atol=1e-9)


def test_a_floor_that_is_met_but_for_rounding_is_no_limit():
    for least in ((0, 0), (1, 0)):
        units = PricedUnits((2, 2), (1, 1), least)
        logits = torch.tensor([10.0, -40.0, 5.0, 4.0], dtype=torch.float64, requires_grad=True)
        (gumbel_soft_cut(logits, torch.zeros(4), units, 2, 0.1) * torch.tensor([1.0, 2.0, 4.0, 3.0])).sum().backward()
        # it is 5.5 above the cut, and its rivals, near the cut, have the mean gradient 3.5
        assert float(logits.grad[0]) == pytest.approx((1.0 - 3.5) * math.exp(-5.5 / 0.1) / 0.1, rel=1e-6, abs=0)


def test_a_unit_that_is_certain_up_to_rounding_still_feels_the_others():
    for bounds in ((), ((1, 1),), ((0, 0), (1, 2))):
        units = PricedUnits((3, 3), (2, 5), *bounds)
        logits = torch.tensor([90.0, 2.0, 3.0, 40.0, -2.0, -30.0], dtype=torch.float64, requires_grad=True)
        gates = gumbel_soft_cut(logits, torch.zeros_like(logits), units, 7, 0.3)
        (gates * torch.linspace(1, 2, 6, dtype=torch.float64)).sum().backward()
        assert (gates[[0, 3]] == 1).all()
        assert (logits.grad != 0).all(), units


def test_a_cold_cap_leaves_a_gradient_to_the_blocks_without_limits():
    """The best two units are of a block that keeps two; what is left for the other block is far below rounding."""
    units = PricedUnits((4, 2), (1, 1), caps=(2, 2))
    logits = torch.tensor([10.0, 9.0, 8.0, 7.0, 0.0, -1.0], dtype=torch.float64, requires_grad=True)
    gates = gumbel_soft_cut(logits, torch.zeros_like(logits), units, 2, 0.1)
    (gates * torch.linspace(1, 2, 6, dtype=torch.float64)).sum().backward()
    assert cost_of(units, gates) == pytest.approx(2, abs=1e-12)
    assert (logits.grad != 0).all()


@settings(max_examples=60)
@given(st.integers(2, 30), st.integers(0, 999), st.data())
def test_the_limit_is_that_of_softmaxes_in_a_row(heads, seed, data):
    generator = torch.Generator().manual_seed(seed)
    logits, noise = torch.randn(heads, dtype=torch.float64, generator=generator), gumbel_noise(heads, generator)
    k = data.draw(st.integers(0, heads))
    gates = gumbel_soft_cut(logits, noise, PricedUnits((heads,), (1,)), k, 1e-8)
    assert torch.allclose(gates, gumbel_soft_top_k(logits, k, 1e-8, noise), atol=1e-6)
    assert torch.allclose(gates, hard_top_k(logits + noise, k).double(), atol=1e-6)


@pytest.mark.parametrize("limits", [Limits((4,) * 9), Limits((4,) * 9, cap=2, floor=1)])
@pytest.mark.parametrize("temperature", [0.2, 0.5, 1.0])
def test_gradients_are_close_to_those_of_softmaxes_in_a_row(limits, temperature):
    """The mean over noise, which is what an optimiser follows, has nearly the same direction."""
    k, generator = 12, torch.Generator().manual_seed(1)
    logits = torch.randn(36, dtype=torch.float64, generator=generator)
    slope = torch.randn(36, dtype=torch.float64, generator=generator)
    units = PricedUnits(limits.sizes, (1,) * 9, *map(tuple, limits.bounds(k)))
    means = torch.zeros(2, 36, dtype=torch.float64)
    for _ in range(300):
        noise = gumbel_noise(36, generator)
        leaf = logits.clone().requires_grad_()
        soft = gumbel_soft_top_k(leaf, k, temperature, noise, limits, bounded=True)
        cut = gumbel_soft_cut(leaf, noise, units, k, temperature)
        for mean, gates in zip(means, (soft, cut), strict=True):
            mean += torch.autograd.grad((gates * slope).sum(), leaf)[0]
    assert torch.cosine_similarity(*means, dim=0) > 0.95


@settings(max_examples=60)
@given(priced_choices(), st.floats(0.1, 2))
def test_straight_through_is_hard_forward_and_relaxed_backward(choice, temperature):
    units, budget, logits, noise = choice
    gradients = []
    for function in (straight_through_gumbel_cut, gumbel_soft_cut):
        leaf = logits.clone().requires_grad_()
        gates = function(leaf, noise, units, budget, temperature)
        (gates * torch.arange(float(len(leaf)))).sum().backward()
        gradients.append(leaf.grad)
        if function is straight_through_gumbel_cut:
            assert torch.equal(gates.detach(), budgeted_mask(logits + noise, units, budget).double())
    assert torch.equal(*gradients)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_temperature_must_be_positive(temperature):
    with pytest.raises(ValueError, match="temperature"):
        gumbel_soft_cut(torch.zeros(3), torch.zeros(3), PricedUnits((3,), (1,)), 1, temperature)


def test_less_than_the_limits_ask_for_is_refused():
    units = PricedUnits((2, 1), (3, 4), floors=(1, 1))
    with pytest.raises(ValueError, match="at least 7, which the limits ask for, got 6"):
        gumbel_soft_cut(torch.zeros(3), torch.zeros(3), units, 6, 1.0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_low_precision_logits_are_sampled_in_double(dtype):
    logits = torch.randn(9).to(dtype).requires_grad_()
    noise, units = gumbel_noise(9), PricedUnits((4, 5), (3, 2))
    gates = gumbel_soft_cut(logits, noise, units, 11, 0.3)
    assert torch.equal(gates, gumbel_soft_cut(logits.detach().double(), noise, units, 11, 0.3))
    gates.square().sum().backward()
    assert logits.grad.dtype == dtype


@pytest.mark.parametrize("temperature", [1e3, 1.0, 0.1, 1e-3, 1e-8])
@pytest.mark.parametrize("limited", [False, True])
def test_thousands_of_units_meet_the_budget(temperature, limited):
    sizes, costs = (16,) * 18 + (2048,) * 12, (262336,) * 18 + (2049,) * 12
    bounds = ((1,) * 18 + (100,) * 12, (9,) * 18 + (900,) * 12) if limited else ()
    units = PricedUnits(sizes, costs, *bounds)
    budget = units.cost_of_caps // 2
    logits = torch.randn(sum(sizes), dtype=torch.float64, requires_grad=True)
    gates = gumbel_soft_cut(logits, gumbel_noise(sum(sizes)), units, budget, temperature)
    assert cost_of(units, gates) == pytest.approx(budget, rel=1e-11)
    for least, count, most in zip(units.floors, per_block(units, gates), units.caps, strict=True):
        assert least - 1e-8 <= count <= most + 1e-8
    gates.square().sum().backward()
    assert logits.grad.isfinite().all()
