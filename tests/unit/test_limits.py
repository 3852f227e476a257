"""At least and at most so many heads in a block, and still exactly k: against every choice there is."""

import math
from itertools import combinations

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dsp_fairseq.gates import (
    gumbel_noise,
    gumbel_soft_top_k,
    straight_through_gumbel_top_k,
    straight_through_top_k,
)
from dsp_fairseq.gates.choice import Choice, Share
from dsp_fairseq.gates.limits import Limits
from dsp_fairseq.gates.methods import CommittedDsp, PublishedDsp, StraightThrough
from dsp_fairseq.gates.subset import hard_top_k


@st.composite
def capped_choices(draw):
    sizes = tuple(draw(st.lists(st.integers(0, 4), min_size=1, max_size=4).filter(sum)))
    cap = draw(st.integers(0, 5))
    limits = Limits(sizes, cap, draw(st.integers(0, cap)))
    scores = draw(st.lists(st.integers(-3, 3), min_size=sum(sizes), max_size=sum(sizes)))
    return limits, torch.tensor(scores, dtype=torch.float64), draw(st.integers(limits.least, limits.most))


def per_block(limits, gates):
    return [int(piece.sum()) for piece in gates.split(limits.sizes)]


def within(limits, mask):
    counts = per_block(limits, mask)
    return all(min(limits.floor, size) <= n <= limits.cap for n, size in zip(counts, limits.sizes, strict=True))


@settings(max_examples=60)
@given(capped_choices())
def test_the_mask_is_the_best_choice_within_the_limits(choice):
    limits, scores, k = choice
    mask = limits.mask(scores, k)
    assert mask.sum() == k and within(limits, mask)
    best = -float("inf")
    for heads in combinations(range(len(scores)), k):
        other = torch.zeros(len(scores), dtype=torch.bool)
        other[list(heads)] = True
        if within(limits, other):
            best = max(best, float(scores[other].sum()))
    assert float(scores[mask].sum()) == best


def test_no_cap_is_the_ordinary_choice():
    scores = torch.randn(12, dtype=torch.float64)
    for cap in (None, 4, 9):
        assert torch.equal(Limits((4, 4, 4), cap).mask(scores, 5), hard_top_k(scores, 5))


def test_while_more_are_open_than_fit_the_lowest_cap_with_room_applies():
    limits, scores = Limits((4, 4, 2), 1), torch.arange(10.0)
    assert per_block(limits, limits.mask(scores, 5)) == [1, 2, 2]
    for k in range(11):
        counts = per_block(limits, limits.mask(scores, k))
        assert sum(counts) == k
        lowest = next(cap for cap in range(1, 5) if sum(min(size, cap) for size in limits.sizes) >= k)
        assert max(counts) <= lowest


METHODS = {
    "ste": lambda h, k: StraightThrough(h, k),
    "dsp": lambda h, k: CommittedDsp(h, k, 0.5, 0.2, None, 100, 10, 4.0).with_search(100),
    "dsp-published": lambda h, k: PublishedDsp(h, k, 0.1, 1e-8, 100),
}


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=40)
@given(choice=capped_choices(), update=st.integers(0, 99), seed=st.integers(0, 99))
def test_samples_keep_to_the_limits_and_to_k(method, choice, update, seed):
    limits, logits, k = choice
    method = METHODS[method](len(logits), k)
    logits.requires_grad_()
    noise = gumbel_noise(len(logits), torch.Generator().manual_seed(seed))
    gates = method.gates(logits, update, noise, limits)
    count = method.open_amount(update)
    assert float(gates.detach().sum()) == pytest.approx(count, abs=1e-8)
    if count <= limits.most and not isinstance(method, PublishedDsp):
        assert within(limits, gates.detach().round() > 0)
    for piece in gates.detach().split(limits.sizes):  # what a floor picks, however warm it is
        assert piece.sum() >= min(limits.floor, len(piece)) - 1e-8
    gates.square().sum().backward()
    assert logits.grad.isfinite().all()


@st.composite
def limited_choices(draw):
    """Floors, caps and blocks that are fixed; logits as they are in a training, with their noise."""
    sizes = tuple(draw(st.lists(st.integers(0, 4), min_size=1, max_size=5).filter(sum)))
    cap = draw(st.none() | st.integers(0, 5))
    floor = draw(st.integers(0, 4 if cap is None else cap))
    fixed = tuple(draw(st.lists(st.booleans(), min_size=len(sizes), max_size=len(sizes))))
    limits = Limits(sizes, cap, floor, fixed)
    generator = torch.Generator().manual_seed(draw(st.integers(0, 999)))
    logits = torch.randn(sum(sizes), dtype=torch.float64, generator=generator)
    noise = gumbel_noise(sum(sizes), generator)
    slope = torch.rand(sum(sizes), dtype=torch.float64, generator=generator)
    return limits, draw(st.integers(limits.least, limits.most)), logits, noise, slope


def slow_gates(limits, k, perturbed, temperature):
    """METHODS 1, limits inside the relaxation, one head and one pick at a time."""
    starts = [sum(limits.sizes[:block]) for block in range(len(limits.sizes))]
    heads = [list(range(start, start + size)) for start, size in zip(starts, limits.sizes, strict=True)]
    least = [min(size, limits.floor) for size in limits.sizes]
    most = [size if limits.cap is None else min(size, limits.cap) for size in limits.sizes]
    for block, fixed in enumerate(limits.fixed or []):
        if fixed:
            least[block] = most[block] = limits.sizes[block]
    r, gates = perturbed.tolist(), [0.0] * len(perturbed)

    def pick(among, room):
        lifted = {h: r[h] + (math.log(room[h]) if h in room else 0.0) for h in among}
        weights = {h: math.exp((lifted[h] - max(lifted.values())) / temperature) for h in among}
        for h in among:
            p = weights[h] / sum(weights.values())
            gates[h] += p
            r[h] += math.log1p(-p) if p < 1 else -math.inf

    for block, own in enumerate(heads):
        if least[block] == len(own):
            for h in own:
                gates[h] = 1.0
        else:
            for _ in range(least[block]):
                pick(own, {})
    rest = [h for own, low, high in zip(heads, least, most, strict=True) if low < high for h in own]
    before = list(gates)
    for _ in range(k - sum(least)):
        room = {}
        for own, low, high in zip(heads, least, most, strict=True):
            left = high - low - sum(gates[h] - before[h] for h in own)
            if high < len(own) and left < 1:  # where no cap is near, none is felt
                room.update(dict.fromkeys(own, max(left, 1e-100)))
        pick(rest, room)
    return torch.tensor(gates, dtype=torch.float64)


temperatures = st.floats(-1, 2).map(lambda x: 10.0**x)


@settings(max_examples=150)
@given(limited_choices(), temperatures)
def test_soft_gates_within_limits_equal_the_slow_loop_and_sum_to_k(drawn, temperature):
    limits, k, logits, noise, _ = drawn
    gates = gumbel_soft_top_k(logits, k, temperature, noise, limits)
    assert gates.sum().item() == pytest.approx(k, abs=1e-9 * max(k, 1))
    assert (gates[limits.certain] == 1).all()
    assert torch.allclose(gates, slow_gates(limits, k, logits + noise, temperature), rtol=1e-6, atol=1e-6)


@settings(max_examples=100)
@given(limited_choices())
def test_towards_temperature_0_soft_gates_are_the_mask(drawn):
    limits, k, logits, noise, _ = drawn
    gates = gumbel_soft_top_k(logits, k, 1e-8, noise, limits)
    assert torch.allclose(gates, limits.mask(logits + noise, k).double(), atol=1e-6)


def contested(limits, k):
    """Heads that some choice of k has and another has not: bool [H]."""
    found = []
    least, most = limits.bounds(k)
    for size, low, high in zip(limits.sizes, least, most, strict=True):
        elsewhere = range(k - sum(most) + high, k - sum(least) + low + 1)  # heads left for the block, by the others
        counts = [n for n in range(low, high + 1) if n in elsewhere]
        found += [max(counts) > 0 and min(counts) < size] * size
    return torch.tensor(found)


@settings(max_examples=100)
@given(limited_choices(), st.floats(0.1, 5), st.sampled_from([gumbel_soft_top_k, straight_through_gumbel_top_k]))
def test_every_head_that_could_be_chosen_has_a_gradient_and_no_other(drawn, temperature, sample):
    limits, k, logits, noise, slope = drawn
    assume(limits.binding or temperature > 0.5)  # colder, a head may be certain up to rounding
    logits.requires_grad_()
    (sample(logits, k, temperature, noise, limits) * slope).sum().backward()
    assert (logits.grad[contested(limits, k)] != 0).all()
    assert (logits.grad[~limits.choosable] == 0).all()


@pytest.mark.parametrize(
    "limits", [Limits((4, 3), floor=1), Limits((4, 3), cap=1), Limits((4, 3, 2), fixed=(False, False, True))]
)
def test_a_head_that_is_certain_up_to_rounding_still_feels_the_others(limits):
    """At the temperature at which ``dsp-published`` starts that is every other head of a floor."""
    logits = torch.tensor([6.0, 0.0, 1.0, 2.0, 0.0, 10.0, 1.0, 0.0, 0.0], dtype=torch.float64)[: sum(limits.sizes)]
    logits.requires_grad_()
    keep = 2 + 2 * limits.fixed.count(True)
    gates = gumbel_soft_top_k(logits, keep, 0.1, torch.zeros_like(logits), limits)
    assert (gates[[0, 5]] == 1).all()
    (gates * torch.linspace(1, 2, len(logits), dtype=torch.float64)).sum().backward()
    assert (logits.grad[limits.choosable] != 0).all()


@settings(max_examples=40)
@given(limited_choices(), st.floats(0.4, 5))
def test_soft_gates_within_limits_pass_gradcheck(drawn, temperature):
    limits, k, logits, noise, _ = drawn
    assert torch.autograd.gradcheck(
        lambda w: gumbel_soft_top_k(w, k, temperature, noise, limits), (logits.requires_grad_(),), atol=1e-5, rtol=1e-3
    )


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
@pytest.mark.parametrize(
    "limits, k",
    [
        (Limits((2, 3), cap=1), 2),
        (Limits((4, 4), cap=2), 4),
        (Limits((4, 3, 3), 2, 1), 5),
        (Limits((3, 3), floor=2), 5),
    ],
)
def test_gradients_through_floors_and_full_blocks_are_the_true_ones(limits, k, temperature):
    logits = torch.linspace(-1, 1, sum(limits.sizes), dtype=torch.float64).requires_grad_()
    noise = torch.zeros_like(logits)
    assert torch.autograd.gradcheck(lambda w: gumbel_soft_top_k(w, k, temperature, noise, limits), (logits,), rtol=1e-3)


@given(limited_choices())
def test_straight_through_gates_within_limits_are_the_mask_and_pass_on_what_could_be_chosen(drawn):
    limits, k, logits, _, slope = drawn
    logits.requires_grad_()
    gates = straight_through_top_k(logits, k, limits)
    assert torch.equal(gates.detach() > 0, limits.mask(logits, k))
    (gates * slope).sum().backward()
    assert torch.equal(logits.grad, slope * limits.choosable)


def test_more_than_k_from_the_floors_is_refused():
    with pytest.raises(ValueError, match="at least 3"):
        gumbel_soft_top_k(torch.zeros(6), 2, 1.0, torch.zeros(6), Limits((2, 2, 2), floor=1))


@settings(max_examples=30)
@given(data=st.data())
def test_each_share_is_exact_and_within_its_limits(data):
    """--heads-to-keep encoder.self=a,decoder.self=b,decoder.cross=c"""
    shares, scores = [], []
    for _ in range(3):
        limits, piece, k = data.draw(capped_choices())
        shares.append(Share(k, limits))
        scores.append(piece)
    choice = Choice(tuple(shares))
    mask = choice.mask(torch.cat(scores))
    assert mask.sum() == sum(share.keep for share in shares)
    for share, piece, own in zip(shares, choice.cut(mask), scores, strict=True):
        assert piece.sum() == share.keep and within(share.pool, piece)
        assert torch.equal(piece, share.pool.mask(own, share.keep))
