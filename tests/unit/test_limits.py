"""At least and at most so many heads in a block, and still exactly k: against every choice there is."""

from itertools import combinations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

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
    return all(min(limits.floor, size) <= n <= limits.cap for n, size in zip(counts, limits.sizes))


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
    "dsp": lambda h, k: CommittedDsp(h, k, 0.5, 0.2, None, 100, 10, 4.0).planned(100),
    "dsp-published": lambda h, k: PublishedDsp(h, k, 0.1, 1e-8, 100),
}


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=40)
@given(choice=capped_choices(), update=st.integers(0, 99), seed=st.integers(0, 99))
def test_samples_keep_to_the_cap_and_to_k(method, choice, update, seed):
    limits, logits, k = choice
    method = METHODS[method](len(logits), k)
    logits.requires_grad_()
    noise = torch.randn(len(logits), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    gates = method.gates(logits, update, noise, limits)
    count = method.open_heads(update)
    assert float(gates.detach().sum()) == pytest.approx(count, abs=1e-8)
    if count <= limits.most and not isinstance(method, PublishedDsp):
        assert within(limits, gates.detach().round() > 0)
    for piece in gates.detach().split(limits.sizes):
        if count <= limits.most:
            assert (piece > 0).sum() <= limits.cap
        assert (piece > 0.99).sum() >= min(limits.floor, len(piece))
    gates.square().sum().backward()
    assert logits.grad.isfinite().all()


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
    for share, piece, own in zip(shares, choice.cut(mask), scores):
        assert piece.sum() == share.keep and within(share.limits, piece)
        assert torch.equal(piece, share.limits.mask(own, share.keep))
