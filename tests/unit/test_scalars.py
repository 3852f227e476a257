"""The scalars of the choice that a training logs, against slow ones that follow the formulas of docs/watching.md."""

import itertools
import math
import statistics
from argparse import Namespace
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_gates import HEADS, INVENTORY, UNITS, gates_of

from dsp_fairseq.gates.inclusion import entropy, inclusion
from dsp_fairseq.gates.limits import Limits
from dsp_fairseq.gates.methods import METHODS
from dsp_fairseq.gates.priced_pool import PricedPool
from dsp_fairseq.gates.priced_units import PricedUnits
from dsp_fairseq.gates.scalars import CHOICE, scalars
from dsp_fairseq.gates.subset import gumbel_noise, hard_top_k
from dsp_fairseq.history.events import KEPT
from dsp_fairseq.options.plan import Plan

KIND_TAGS = {KEPT[kind] for kind in INVENTORY.kinds}  # other tests may register families of other kinds
SCALARS = (*KIND_TAGS, *CHOICE)


def slow_inclusion(logits, k, noise):
    """The cut by bisection, one head after the other."""

    def chances(cut):
        return [-math.expm1(-math.exp(min((logit - cut) / noise, 50.0))) for logit in logits]

    low, high = min(logits) - 100 * noise, max(logits) + 100 * noise
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if sum(chances(middle)) > k else (low, middle)
    return chances(low)


def slow_entropy(chances):
    return sum(-p * math.log2(p) - (1 - p) * math.log2(1 - p) for p in chances if 0 < p < 1)


def exact_subsets(logits, k, noise):
    """Probability of every subset of k, drawn without replacement with weights exp(logit / noise)."""
    weights = [math.exp(logit / noise) for logit in logits]
    found = dict.fromkeys(itertools.combinations(range(len(logits)), k), 0.0)
    for order in itertools.permutations(range(len(logits)), k):
        chance, left = 1.0, sum(weights)
        for head in order:
            chance *= weights[head] / left
            left -= weights[head]
        found[tuple(sorted(order))] += chance
    return found


def random_logits(heads, seed, spread=3.0):
    return spread * np.random.default_rng(seed).normal(size=heads)


CASES = [(36, 12, 1.0), (72, 1, 0.3), (72, 71, 2.0), (40, 20, 1e-3), (5, 2, 10.0), (288, 144, 0.05)]


LIMITED = [
    (Limits((4, 4, 4), cap=2, floor=1), 4),
    (Limits((4, 4, 4), cap=2, floor=1), 3),
    (Limits((4, 4, 4), cap=2), 6),
    (Limits((4, 4, 4), cap=3, fixed=(False, True, False)), 8),
    (Limits((4, 4, 4), floor=2), 7),
]


class TestInclusion:
    @pytest.mark.parametrize("heads, k, noise", CASES)
    @pytest.mark.parametrize("seed", [1, 2])
    def test_equals_the_slow_one_and_sums_to_k(self, heads, k, noise, seed):
        logits = random_logits(heads, seed)
        chances = inclusion(logits, k, noise, Limits((heads,)))
        assert chances == pytest.approx(slow_inclusion(logits.tolist(), k, noise), abs=1e-6)
        assert chances.sum() == pytest.approx(k, abs=1e-8)
        assert (np.diff(chances[np.argsort(logits)]) >= 0).all()

    def test_equal_logits_share_k_evenly(self):
        assert inclusion(np.zeros(36), 12, 1.0, Limits((36,))) == pytest.approx(np.full(36, 1 / 3))

    @pytest.mark.parametrize("k", [0, 1, 7, 35, 36])
    def test_without_noise_it_is_the_mask(self, k):
        logits = random_logits(36, 3)
        expected = hard_top_k(torch.from_numpy(logits), k).double().numpy()
        assert inclusion(logits, k, 1e-12, Limits((36,))) == pytest.approx(expected)

    def test_is_near_the_exact_chances_of_drawing_without_replacement(self):
        logits = random_logits(6, 4, spread=1.5)
        subsets = exact_subsets(logits.tolist(), 3, 0.7)
        exact = [sum(chance for subset, chance in subsets.items() if head in subset) for head in range(6)]
        assert sum(exact) == pytest.approx(3)
        assert inclusion(logits, 3, 0.7, Limits((6,))) == pytest.approx(exact, abs=0.06)
        of_subset = -sum(chance * math.log2(chance) for chance in subsets.values())
        assert of_subset < entropy(np.array(exact))

    @pytest.mark.parametrize("limits, k", LIMITED)
    @pytest.mark.parametrize("seed", [5, 6])
    def test_limits_hold_on_average(self, limits, k, seed):
        logits = random_logits(12, seed)
        for noise in (0.1, 1.0, 10.0):
            chances = inclusion(logits, k, noise, limits)
            assert ((chances >= 0) & (chances <= 1)).all() and chances.sum() == pytest.approx(k, abs=1e-6)
            for piece, own, least, most in zip(
                np.split(chances, 3), np.split(logits, 3), *limits.bounds(k), strict=True
            ):
                assert least - 1e-6 <= piece.sum() <= most + 1e-6
                assert (np.diff(piece[np.argsort(own)]) >= 0).all()
        assert inclusion(logits, k, 1e-9, limits) == pytest.approx(
            limits.mask(torch.from_numpy(logits), k).double().numpy()
        )

    @pytest.mark.parametrize("limits, k", LIMITED)
    def test_with_limits_it_is_near_the_frequencies_of_the_mask(self, limits, k):
        logits = random_logits(12, 7, spread=1.0)
        generator = torch.Generator().manual_seed(1)
        masks = [limits.mask(torch.from_numpy(logits) + gumbel_noise(12, generator), k) for _ in range(1000)]
        frequencies = torch.stack(masks).double().mean(0).numpy()
        assert inclusion(logits, k, 1.0, limits) == pytest.approx(frequencies, abs=0.12)

    def test_a_choice_within_a_block_is_undecided(self):
        """A floor of 1 and one head in each block: all that is left to choose is which."""
        chances = inclusion(np.zeros(12), 3, 1.0, Limits((4, 4, 4), floor=1))
        assert chances == pytest.approx(np.full(12, 0.25)) and entropy(chances) > 9


class TestInclusionAtCosts:
    """Of units that compete for a budget in parameters."""

    UNITS = PricedUnits((3, 4, 2), (5, 2, 7))

    def test_costs_of_equal_size_change_nothing(self):
        logits = random_logits(9, 3)
        priced = inclusion(logits, 4 * 6, 0.7, PricedPool(PricedUnits((9,), (6,))))
        assert priced == pytest.approx(inclusion(logits, 4, 0.7, Limits((9,))), abs=1e-6)

    @pytest.mark.parametrize("least", [(0, 0, 0), (3, 0, 0), (0, 4, 2)])
    def test_the_expected_cost_is_the_budget(self, least):
        """Blocks that keep all of their units in any case are part of it."""
        pool = PricedPool(replace(self.UNITS, floors=least))
        for budget in (24, 30, 36):
            for noise in (0.1, 1.0, 10.0):
                chances = inclusion(random_logits(9, 8), budget, noise, pool)
                assert (chances * self.UNITS.unit_costs).sum() == pytest.approx(budget, abs=1e-6)
                assert (chances[pool.fixed_units.numpy()] == 1).all()


class TestEntropy:
    @pytest.mark.parametrize("seed", [1, 2, 3])
    def test_equals_the_slow_one(self, seed):
        chances = np.random.default_rng(seed).random(72)
        assert entropy(chances) == pytest.approx(slow_entropy(chances.tolist()))

    def test_is_a_bit_for_each_open_question(self):
        assert entropy(np.array([0.5, 0.5, 0.5, 1.0, 0.0])) == pytest.approx(3.0)
        assert str(entropy(np.array([1.0, 0.0]))) == "0.0"


class TestScalars:
    @pytest.mark.parametrize("method", UNITS)
    def test_names(self, method):
        gates = gates_of(method)
        assert set(scalars(gates)) == (set(SCALARS) if METHODS[method].learns else KIND_TAGS)

    @pytest.mark.parametrize("method", UNITS)
    def test_heads_by_kind_are_those_of_the_mask(self, method):
        gates = gates_of(method, 9)
        gates.set_logits(torch.from_numpy(random_logits(HEADS, 6)))
        told, mask = scalars(gates), gates.mask().tolist()
        # 2 blocks of 3 heads, then 2 of 4 twice
        expected = {"kept_encoder_self": mask[:6], "kept_decoder_self": mask[6:14], "kept_decoder_cross": mask[14:]}
        assert {name: told[name] for name in KIND_TAGS} == {name: sum(piece) for name, piece in expected.items()}
        assert sum(told[name] for name in KIND_TAGS) == 9

    def test_mean_and_spread_of_the_logits(self):
        gates = gates_of("ste")
        logits = random_logits(HEADS, 7)
        gates.set_logits(torch.from_numpy(logits))
        told = scalars(gates)
        assert told["logits_mean"] == pytest.approx(statistics.fmean(logits), abs=1e-8)
        assert told["logits_std"] == pytest.approx(statistics.pstdev(logits), abs=1e-8)

    @pytest.mark.parametrize(
        "method, update, noise", [("ste", 3, 1.0), ("dsp-published", 3, 1.0), ("dsp", 60, 40 / 65)]
    )
    def test_entropy_is_that_of_the_noise_of_the_update(self, method, update, noise):
        gates = gates_of(method, 5)  # dsp: all noise until update 35, none at 100
        logits = random_logits(HEADS, 8, spread=1.0)
        gates.set_logits(torch.from_numpy(logits))
        gates.set_num_updates(update)
        expected = slow_entropy(slow_inclusion(logits.tolist(), 5, noise))
        assert scalars(gates)["subset_entropy"] == pytest.approx(expected, abs=1e-5)

    def test_entropy_of_independent_gates_is_that_of_their_log_odds(self):
        gates = gates_of("l0", None)
        logits = random_logits(HEADS, 9)
        gates.set_logits(torch.from_numpy(logits))
        expected = slow_entropy([1 / (1 + math.exp(-logit)) for logit in logits])
        assert scalars(gates)["subset_entropy"] == pytest.approx(expected, abs=1e-6)

    def test_dsp_goes_to_zero_at_the_end_of_the_search(self):
        gates = gates_of("dsp", 5)
        gates.set_logits(torch.from_numpy(random_logits(HEADS, 10, spread=1.0)))
        told = []
        for update in (1, 40, 70, 90, 99, 100, 150):
            gates.set_num_updates(update)
            with np.errstate(divide="raise", invalid="raise"):  # there is no noise to divide by any more
                told.append(scalars(gates)["subset_entropy"])
        assert told == sorted(told, reverse=True)
        assert told[0] > 10 * told[4] > 0 and told[5:] == [0.0, 0.0]

    @pytest.mark.parametrize("method", ["dsp", "l0"])
    def test_kinds_that_are_not_pruned_are_not_undecided(self, method):
        keep = None if method == "l0" else 15
        gates = gates_of(method, keep)
        options = Namespace(heads_to_keep=keep, pruning_method=method, prunable="encoder.self,decoder.cross")
        gates.set_choice(Plan.of(options, INVENTORY).choice)
        assert gates.choice.shares[0].pool.fixed_units.sum() == 8
        gates.set_logits(torch.zeros_like(gates.logits))
        # 14 heads are open questions, of which 7 are kept, or which are as likely open as not
        assert scalars(gates)["subset_entropy"] == pytest.approx(14.0)

    def test_a_budget_for_each_kind_counts_by_itself(self):
        gates = gates_of("dsp", 5)
        budget = "encoder.self=3,decoder.self=0,decoder.cross=8"
        gates.set_choice(Plan.of(Namespace(heads_to_keep=budget), INVENTORY).choice)
        gates.methods = [replace(gates.method, total=share.units, keep=share.keep) for share in gates.choice.shares]
        gates.set_logits(torch.zeros_like(gates.logits))
        assert scalars(gates)["subset_entropy"] == pytest.approx(6.0)
