"""The gates over a training: schedules by update, one sample an update, a rate of their own."""

import itertools

import pytest
import torch
from tiny_gates import COUNTED, HEADS, INVENTORY, LEARNED, UNITS, gates_of, train

from dsp_fairseq.errors import BadInput
from dsp_fairseq.gates.hard_concrete import open_probability
from dsp_fairseq.gates.logit_adam import LogitAdam
from dsp_fairseq.gates.methods import METHODS


@pytest.mark.parametrize("method", UNITS)
@pytest.mark.parametrize("keep", [0, 1, HEADS - 1, HEADS])
def test_mask_is_exact(method, keep):
    gates = gates_of(method, keep)
    train(gates, torch.randn(HEADS, dtype=torch.float64), 30)
    assert gates.mask().sum() == keep
    gates.set_logits(torch.zeros_like(gates.logits))
    assert gates.mask().sum() == keep


@pytest.mark.parametrize("method", COUNTED)
@pytest.mark.parametrize("update", [0, 34, 36, 60, 99])
def test_sample_has_the_budget_of_the_update(method, update):
    gates = gates_of(method)
    gates.set_num_updates(update)
    sample = gates.sample()
    if sample is None:
        assert gates.open_counts["heads"] == HEADS
    else:
        assert sample.sum().item() == pytest.approx(gates.open_counts["heads"])
        assert sample.dtype == torch.float64


def test_dsp_opens_all_then_falls_then_settles_on_the_mask_that_decodes():
    gates = gates_of("dsp", 5)
    budgets = []
    for update in range(101):
        gates.set_num_updates(update)
        budgets.append(gates.open_counts["heads"])
    assert budgets[35] == HEADS and budgets[36] < HEADS and budgets[100] == 5
    assert gates.settled and gates.temperature is None
    gates.set_num_updates(99)
    assert not gates.settled


def test_dsp_noise_is_gone_at_the_end_of_the_search():
    gates = gates_of("dsp", 5)
    gates.set_logits(torch.randn(HEADS))
    gates.set_num_updates(99)
    assert torch.equal(gates.sample().detach() > 0.5, gates.mask())


def test_one_sample_an_update_and_another_in_the_next():
    gates = gates_of("dsp-published")
    gates.set_num_updates(7)
    first = gates.sample()
    assert torch.equal(first, gates.sample())
    gates.set_num_updates(8)
    assert not torch.equal(first, gates.sample())
    assert not torch.equal(first, gates_of("dsp-published", seed=2).sample())


@pytest.mark.parametrize("method", LEARNED)
def test_useful_heads_win(method):
    slope = torch.ones(HEADS, dtype=torch.float64)
    useful = torch.arange(HEADS) % 4 == 3  # later heads of a block, against the prior
    slope[useful] = -1.0
    keep = int(useful.sum())
    prior = {"uniform_prior": 1.0, "pruning_lr": 0.1} if method == "dsp" else {}
    missed = []
    for seed in range(1, 9):
        gates = train(gates_of(method, keep, seed, **prior), slope, 99 if prior else 400)
        missed.append(int((gates.mask() & ~useful).sum()))
    assert sum(missed) <= 1, missed  # a search is a matter of chance, but not of luck


def test_near_ties_do_not_spoil_the_published_method():
    """A spike in the gradient would stay in Adam's second moment for a hundred updates and hold the logit still."""
    gates = gates_of("dsp-published")
    slope = torch.randn(HEADS, dtype=torch.float64)
    for update in range(300):
        gates.set_num_updates(update)
        gates.begin_update()
        (gates.sample() * slope).sum().backward()
        steepest = float(slope.max() - slope.min()) / (4 * gates.temperature)
        assert gates.gradient().abs().max() <= steepest


def test_a_uniform_choice_never_moves():
    gates = gates_of("uniform")
    assert gates.settled and not gates.logits.requires_grad


def test_a_resumed_run_equals_an_uninterrupted_one():
    slope = torch.randn(HEADS, dtype=torch.float64)
    whole = train(gates_of(), slope, 80)
    half = train(gates_of(), slope, 50)
    resumed = gates_of()
    resumed.set_num_updates(50)
    resumed.load_state_dict(half.state_dict())
    train(resumed, slope, 30, first=50)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_a_restarted_search_forgets_the_old_one():
    gates = train(gates_of(search_updates=50), torch.randn(HEADS, dtype=torch.float64), 50)
    assert gates.adam.steps > 0
    gates.plan_search(update=0, left=200, share=0.3, length=200)  # the user's word stands
    gates.set_num_updates(0)
    assert gates.adam.steps == 0 and not gates.settled
    assert gates.method.search_updates == 50
    assert torch.equal(gates.logits, gates_of(search_updates=50).logits)


@pytest.mark.parametrize("method", UNITS)
def test_a_training_from_a_checkpoint_chooses_anew(method):
    """Its logits ranked the heads of another training; after the first update they are this one's."""
    gates = gates_of(method)
    expected = gates.logits.detach().clone()
    state = gates.state_dict()
    state["logits"] = torch.randn(HEADS, dtype=torch.float64)
    gates.load_state_dict(state)
    gates.set_num_updates(0)
    assert torch.equal(gates.logits.detach(), expected) and gates.logits.requires_grad == METHODS[method].learns
    gates.set_num_updates(7)
    gates.load_state_dict(state)
    assert torch.equal(gates.logits.detach(), state["logits"])


def test_an_overflow_leaves_no_trace():
    gates = gates_of("ste")
    before = gates.logits.clone()
    (gates.sample() * float("inf")).sum().backward()
    gates.add_sample_size(1)
    gates.step()
    assert torch.equal(before, gates.logits) and gates.adam.steps == 0 and gates.logits.grad is None


def planned(left, update=0, length=None, begun=None, **options):
    """Gates that are told how many updates are left, those of a loaded training if one had begun."""
    gates = gates_of(search_updates=None, **options)
    if begun is not None:
        gates.set_num_updates(update or 7)  # as fairseq does before it loads, whatever the update will be
        gates.load_state_dict(begun.state_dict())
    gates.plan_search(update, left, 0.3, length or update + left)
    gates.set_num_updates(update)
    return gates


class TestPlan:
    def test_a_restarted_training_keeps_its_plan_whatever_updates_were_skipped(self):
        begun = planned(100)
        assert begun.method.search_updates == 30
        assert planned(85, update=10, length=100, begun=begun).method.search_updates == 30

    @pytest.mark.parametrize("left, search", [(390, 120), (50, 18), (20, 16), (1, 11)])
    def test_another_length_is_planned_for_anew_while_the_search_goes_on(self, left, search):
        gates = planned(left, update=10, begun=planned(100))
        assert gates.method.search_updates == search and float(gates.search) == search
        again = planned(left - 1, update=11, length=10 + left, begun=gates)
        assert again.method.search_updates == search

    def test_a_search_that_is_over_stays_over(self):
        gates = planned(1000, update=30, begun=planned(100))
        assert gates.method.search_updates == 30 and gates.settled

    def test_checkpoints_from_before_lengths_were_stored_keep_their_plan(self):
        state = {f"gates.{name}": value for name, value in planned(100).state_dict().items() if name != "length"}
        gates = gates_of(search_updates=None)
        gates.upgrade_state_dict_named(state, "gates")
        gates.load_state_dict({name.partition(".")[2]: value for name, value in state.items()})
        gates.plan_search(10, 390, 0.3, 400)
        assert gates.method.search_updates == 30

    @pytest.mark.parametrize("method", ["none", "dsp"])
    def test_a_training_from_a_checkpoint_is_planned_from_its_own_updates(self, method):
        begun = gates_of(method, search_updates=None if method == "none" else 3)
        gates = planned(200, begun=begun)
        assert gates.method.search_updates == 60 and not gates.settled

    @pytest.mark.parametrize("stored", [3, 60])
    def test_another_search_of_the_user_than_that_of_the_checkpoint(self, stored):
        begun = gates_of(search_updates=stored)
        gates = gates_of(search_updates=30, search_warmup_updates=20)
        gates.load_state_dict(begun.state_dict())
        gates.plan_search(0, 40, 0.3, 40)
        gates.set_num_updates(25)
        assert gates.method.search_updates == 30 and float(gates.search) == 30 and not gates.settled
        assert gates.sample() is not None

    def test_a_choice_that_would_never_be_final_is_refused(self):
        with pytest.raises(BadInput, match="^--search-updates 101: .* after 100 updates"):
            gates_of(search_updates=101).plan_search(0, 100, 0.3, 100)
        gates_of(search_updates=100).plan_search(0, 100, 0.3, 100)

    def test_a_training_that_ends_where_it_was_restarted_is_refused_by_what_was_said(self):
        begun = planned(100)
        with pytest.raises(BadInput, match="^the choice of heads is not final at update 20, where this training ends"):
            planned(0, update=20, begun=begun)

    def test_a_warm_up_longer_than_the_planned_search_is_refused(self):
        with pytest.raises(BadInput, match="^--search-warmup-updates 30: must be below the 30"):
            planned(100, search_warmup_updates=30)
        assert planned(101, search_warmup_updates=29).method.warm_up == 29

    def test_a_choice_of_a_method_without_a_search_has_no_end(self):
        gates = gates_of("ste")
        gates.plan_search(0, 100, 0.3, 100)
        assert not gates.settled and float(gates.search) == 0


ALL_KEPT = [("none", None), ("uniform", HEADS), ("dsp", HEADS), ("dsp-published", HEADS), ("ste", HEADS)]


@pytest.mark.parametrize("method, keep", ALL_KEPT)
def test_a_ranking_stays_where_nothing_is_chosen(method, keep):
    """Fine-tuning after `prune`, or of all heads: what ranked the heads before ranks them after."""
    gates = gates_of(method, keep)
    state = gates.state_dict()
    state["logits"] = torch.randn(HEADS, dtype=torch.float64)
    gates.set_num_updates(7)
    gates.load_state_dict(state)
    train(gates, torch.randn(HEADS, dtype=torch.float64), 3)
    assert torch.equal(gates.logits.detach(), state["logits"])


def test_gradient_is_per_unit_of_loss_and_free_of_the_loss_scale():
    moved = []
    for batches, scale in ((1, 1.0), (4, 1.0), (1, 128.0)):
        gates = gates_of("ste")
        gates.adam.eps = 1.0  # so that the size of the gradient shows
        before = gates.logits.clone()
        gates.begin_update()
        for _ in range(batches):
            (gates.sample() * scale * torch.ones(HEADS)).sum().backward()
            gates.add_sample_size(1)
        gates.step(loss_scale=scale)
        moved.append(before - gates.logits)
    assert torch.allclose(moved[0], moved[1]) and torch.allclose(moved[0], moved[2])


CPU = torch.device("cpu")


@pytest.mark.parametrize("method", ["dsp", "dsp-published", "ste", "l0"])
def test_batches_of_an_update_share_one_sample_and_their_gradients_add_up(method):
    moved = []
    slopes = torch.randn(3, HEADS, dtype=torch.float64)
    for shared in (True, False):
        gates = gates_of(method)
        gates.adam.eps = 1.0  # so that the size of the gradient shows
        before = gates.logits.clone()
        gates.set_num_updates(60)
        gates.begin_update()
        for slope in slopes if shared else [slopes.sum(0)]:
            sample = gates.of_update(CPU) if shared else gates.sample()
            (sample * slope).sum().backward()
        gates.add_sample_size(len(slopes))
        if shared:
            assert gates.of_update(CPU) is gates.of_update(CPU) and gates.logits.grad is None
        gates.step()
        moved.append(before - gates.logits)
    assert moved[0].abs().sum() > 0 and torch.allclose(moved[0], moved[1], rtol=1e-4, atol=1e-9)


def test_a_new_update_and_moved_logits_draw_anew():
    gates = gates_of("dsp-published")
    first = gates.of_update(CPU)
    gates.set_num_updates(1)
    second = gates.of_update(CPU)
    assert not torch.equal(first, second)
    second.sum().backward()
    gates.add_sample_size(1)
    gates.step()
    third = gates.of_update(CPU)
    assert third is not second and torch.equal(third.double(), gates.sample().float().double())
    gates.load_state_dict(gates_of("dsp-published", seed=2).state_dict())
    assert not torch.equal(third, gates.of_update(CPU))


def test_gates_of_a_gradient_that_overflows_give_up_the_step():
    gates = gates_of("dsp-published")
    before = gates.logits.clone()
    (gates.of_update(CPU) * float("inf")).sum().backward()
    gates.add_sample_size(1)
    gates.step()
    assert torch.equal(before, gates.logits) and gates.adam.steps == 0 and gates.logits.grad is None


def test_gradients_of_an_abandoned_update_are_forgotten():
    gates = gates_of("ste")
    (gates.of_update(CPU) * float("inf")).sum().backward()
    gates.begin_update()
    before = gates.logits.clone()
    gates.step()
    assert torch.equal(before, gates.logits)
    (gates.of_update(CPU) * float("inf")).sum().backward()
    gates.begin_update()
    gates.of_update(CPU).sum().backward()
    gates.add_sample_size(1)
    assert torch.equal(gates.gradient().clone(), gates.gradient())
    gates.step()
    assert not torch.equal(before, gates.logits)


def test_processes_add_gradients_and_sample_sizes():
    gates = gates_of("ste")
    gates.adam.eps = 1.0
    gates.sample().sum().backward()
    gates.add_sample_size(2)
    seen = []
    gates.step(all_reduce=lambda total: seen.append(total.clone()) or total * 2)
    assert seen[0].tolist() == [1.0] * HEADS + [2.0]


def test_casting_and_moving_the_model_leaves_the_logits_alone():
    gates = gates_of("ste").half()
    assert gates.logits.dtype == torch.float64 and gates.logits.requires_grad


@pytest.mark.parametrize("betas", [(0.9, 0.98)])
def test_adam_equals_torch(betas):
    logits = torch.randn(6, dtype=torch.float64)
    reference = torch.nn.Parameter(logits.clone())
    theirs = torch.optim.Adam([reference], lr=0.2, betas=betas, eps=1e-8)
    ours = LogitAdam(6, 0.2, pooled=False, betas=betas)
    for _ in range(20):
        gradient = torch.randn(6, dtype=torch.float64)
        reference.grad = gradient.clone()
        theirs.step()
        ours.step(logits, gradient)
    assert torch.allclose(logits, reference.detach(), atol=1e-12)


def test_pooled_moment_keeps_the_sizes_of_gradients():
    logits = torch.zeros(3, dtype=torch.float64)
    LogitAdam(3, 0.1, pooled=True).step(logits, torch.tensor([4.0, 2.0, 0.0], dtype=torch.float64))
    assert logits[0] == pytest.approx(2 * logits[1].item(), rel=1e-6)
    assert logits[2] == 0
    assert logits.square().mean().sqrt() == pytest.approx(0.1, rel=1e-6)


def test_uniform_prior_makes_the_start_uniform():
    gates = gates_of("dsp", 6)
    uniform = gates_of("uniform", 6)
    assert torch.equal(gates.mask(), uniform.mask())


@pytest.mark.parametrize("method", UNITS)
def test_budgets_of_each_kind_are_exact_in_sampling_and_at_evaluation(method):
    keep = {"encoder.self": 1, "decoder.self": 5, "decoder.cross": 3}
    text = ",".join(f"{kind}={count}" for kind, count in keep.items())
    gates = gates_of(method, text)
    slope = torch.linspace(-1, 1, HEADS, dtype=torch.float64)
    train(gates, slope, 99)
    assert INVENTORY.kept_per_kind(gates.mask()) == keep
    if method not in COUNTED:
        return
    for update in (0, 50, 80, 99):
        gates.set_num_updates(update)
        sample = gates.sample()
        if sample is not None:
            assert float(sample.detach().sum()) == pytest.approx(gates.open_counts["heads"], abs=1e-8)
    if method == "dsp":  # falls from all heads of a kind to its own count
        counts = [m.open_amount(70) for m in gates.methods]
        assert all(k <= n <= m.total for n, k, m in zip(counts, keep.values(), gates.methods, strict=True))
        pieces = gates_at(gates, 70).split([6, 8, 8])
        assert [int(piece.sum()) for piece in pieces] == counts


def gates_at(gates, update):
    gates.set_num_updates(update)
    return gates.sample().detach().round()


class TestL0:
    def test_the_penalty_closes_heads_that_the_loss_does_not_need(self):
        gates = gates_of("l0", None, l0_penalty=0.2, pruning_lr=0.1)
        needed = torch.zeros(HEADS, dtype=torch.float64)
        needed[:4] = 1.0
        for update in range(300):
            gates.set_num_updates(update)
            gates.begin_update()
            ((1 - gates.sample()) * needed).sum().add(gates.penalty()).backward()
            gates.add_sample_size(1)
            gates.step()
        assert gates.mask().tolist() == [True] * 4 + [False] * (HEADS - 4)
        assert gates.open_counts["heads"] == 4 and gates.eval().open_counts["heads"] == 4
        assert gates.expected_heads == pytest.approx(4, abs=0.6)

    def test_the_penalty_is_the_price_of_the_expected_open_heads(self):
        gates = gates_of("l0", None, l0_penalty=0.25)
        assert float(gates.penalty().detach()) == pytest.approx(0.25 * gates.expected_heads)
        assert gates_of("ste").penalty() is None

    def test_gates_start_at_their_log_odds(self):
        gates = gates_of("l0", None, l0_penalty=0.25, initial_log_odds=1.5)
        gates.set_num_updates(0)
        assert gates.logits.tolist() == [1.5] * HEADS

    def test_kinds_that_stay_are_open_count_and_cost_nothing(self):
        gates = gates_of("l0", None, l0_penalty=0.25, prunable="decoder.cross")
        gates.set_logits(torch.full_like(gates.logits, -20.0))
        assert gates.sample().tolist() == [1.0] * 14 + [0.0] * 8
        gates.set_logits(torch.full_like(gates.logits, -1.0))
        costing = 8 * float(open_probability(torch.tensor(-1.0, dtype=torch.float64)))
        assert gates.expected_heads == pytest.approx(14 + costing)
        assert float(gates.penalty().detach()) == pytest.approx(0.25 * costing)


class TestRange:
    """--heads-to-keep-range: a K of its own for every update, nested masks."""

    def gates(self, method="dsp", low=2, high=9):
        gates = gates_of(method, high)
        gates.keep_range = (low, high)
        return gates

    @pytest.mark.parametrize("method", ["dsp", "ste", "uniform", "dsp-published"])
    def test_every_k_of_the_range_is_drawn_and_no_other(self, method):
        gates, seen = self.gates(method), set()
        for update in range(100, 250):
            gates.set_num_updates(update)
            if gates.settled:
                seen.add(int(gates.mask_of_update().sum()))
            else:
                seen.add(round(float(gates.sample().detach().sum())))
            assert gates.open_counts["heads"] in seen
        assert seen == set(range(2, 10))
        assert gates.mask().sum() == 9

    def test_masks_are_nested_and_the_draw_depends_on_the_update_alone(self):
        gates = self.gates()
        gates.set_logits(torch.randn(HEADS, dtype=torch.float64))
        masks = {}
        for update in [*range(100, 200), *range(100, 200)]:
            gates.set_num_updates(update)
            mask = gates.mask_of_update()
            assert torch.equal(masks.setdefault(update, mask), mask)
        ordered = sorted(masks.values(), key=lambda mask: int(mask.sum()))
        for smaller, larger in itertools.pairwise(ordered):
            assert not (smaller & ~larger).any()
