"""layerwise-l0: gates of 0 or 1, the price that warms up, the start, scaled outputs; each by its law."""

import pytest
import torch
from tiny_language_models import ALL_ATTENTION, TRANSFORMER, batch, build, chances, checkpoint_of, options
from tiny_models import batch as pairs
from tiny_models import near
from tiny_models import pair as translators

from dsp_fairseq.checkpoints.building import build_model
from dsp_fairseq.checkpoints.prune import prune
from dsp_fairseq.checkpoints.reading import kept_units_of, load, model_options, with_mask
from dsp_fairseq.gates.hard_concrete import hard_concrete, logistic_noise, open_probability
from dsp_fairseq.gates.limits import Limits
from dsp_fairseq.gates.methods import METHODS
from dsp_fairseq.importance.checkpoints import with_feed_forward
from dsp_fairseq.options.plan import Plan
from dsp_fairseq.options.problems import model_problems
from dsp_fairseq.structures.output_scaling import output_scale

NAME, H = "layerwise-l0", 6
LOGITS = [4.0, -3.0, 1.0, 0.5, -4.0, 3.0]
KEPT = [1, 0, 1, 1, 0, 1]


def method(**more):
    found = {"l0_penalty": 0.01, "initial_log_odds": 2.0, "penalty_warmup_updates": 0, **more}
    return METHODS[NAME].variant(found).build(H, H, {**found, "search_updates": found.get("search_updates")})


def noise(seed, size=H):
    return logistic_noise(size, torch.Generator().manual_seed(seed))


# gates


@pytest.mark.parametrize("budgeted", [False, True])
def test_gates_are_zero_or_one_and_have_the_gradient_of_hard_concrete_gates(budgeted):
    way, pool = method(l0_penalty=None if budgeted else 0.01), Limits((3, 3))
    logits = torch.linspace(-2, 2, H, dtype=torch.float64, requires_grad=True)
    weights = torch.arange(1.0, H + 1, dtype=torch.float64)
    seen = set()
    for seed in range(20):
        gates, soft = way.gates(logits, 0, noise(seed), pool), hard_concrete(logits, noise(seed))
        assert torch.equal(gates.detach(), (soft.detach() > 0.5).double())
        seen.update(gates.tolist())
        [gradient] = torch.autograd.grad((gates * weights).sum(), logits)
        [expected] = torch.autograd.grad((soft * weights).sum(), logits)
        assert torch.equal(gradient, expected)
    assert seen == {0.0, 1.0}


def test_blocks_that_may_not_lose_heads_stay_open():
    pool = Limits((3, 3), fixed=(True, False))
    gates = method().gates(torch.full((H,), -9.0, dtype=torch.float64), 0, noise(1), pool)
    assert gates.tolist() == [1, 1, 1, 0, 0, 0]


# method 2: the start


def test_at_the_start_88_of_100_gates_are_open():
    way = method()
    plan = Plan.of(options(ALL_ATTENTION, pruning_method=NAME, l0_penalty=0.01))
    start = way.initial_logits(plan.inventory)
    assert start.tolist() == [2.0] * H
    gates = way.gates(torch.full((20000,), 2.0, dtype=torch.float64), 0, noise(1, 20000), Limits((20000,)))
    assert abs(float(gates.mean()) - 0.8808) < 0.01


# method 1: the price


def test_the_price_warms_up_to_the_price_of_l0():
    logits, pool = torch.linspace(-1, 2, H, dtype=torch.float64, requires_grad=True), Limits((3, 3))
    whole = 0.01 * open_probability(logits).sum()
    prices = [float(method(penalty_warmup_updates=4).penalty(logits, pool, n)) / float(whole) for n in (0, 1, 3, 9)]
    assert prices == pytest.approx([0.25, 0.5, 1.0, 1.0])
    assert float(method().penalty(logits, pool, 0)) == pytest.approx(float(whole))
    assert float(METHODS["l0"].build(H, H, {"l0_penalty": 0.01, "initial_log_odds": 2.0}).penalty(logits, pool, 0)) == (
        pytest.approx(float(whole))
    )


def test_the_price_in_the_loss_follows_the_update():
    model = build(ALL_ATTENTION, pruning_method=NAME, l0_penalty=0.02, penalty_warmup_updates=10).train()
    prices = []
    for update in (0, 4, 9, 30):
        model.set_num_updates(update)
        prices.append(float(model.gates.penalty()))
    assert prices == pytest.approx([prices[-1] * share for share in (0.1, 0.5, 1.0, 1.0)])


def test_a_warm_up_without_a_price_is_refused():
    args = options(ALL_ATTENTION)
    args.heads_to_keep, args.penalty_warmup_updates, args.search_updates = "3", 5, 9
    args.pruning_method = NAME
    [problem] = model_problems(args)
    assert problem.startswith("--penalty-warmup-updates 5: without --l0-penalty there is no price")
    args.pruning_method = "dsp"
    [problem] = model_problems(args)
    assert problem.endswith(f"does not use it; leave it out, or choose one of {NAME}")


# method 3: scaled outputs


@pytest.mark.parametrize("model", [TRANSFORMER, ALL_ATTENTION])
def test_a_block_scales_its_output_but_not_its_bias_and_no_gradient_passes_through(model):
    built = build(model, pruning_method=NAME, l0_penalty=0.01)
    block = built.gated_blocks[0]
    assert block.scales_output
    x = torch.randn(4, 2, 24)
    inputs = (x, built.decoder.distances.weight) if model == ALL_ATTENTION else (x, x, x)

    def output():
        return block(*inputs)[0] - block.out_proj.bias

    block.scales_output = False
    block.gate(torch.tensor([1.0, 0.0, 1.0]))
    plain = output().detach()
    block.scales_output = True
    gates = torch.tensor([1.0, 0.0, 1.0], requires_grad=True)
    block.gate(gates)
    assert near(output(), 1.5 * plain)
    [gradient] = torch.autograd.grad(output().sum(), gates)
    block.scales_output = False
    block.gate(gates)
    [unscaled] = torch.autograd.grad(output().sum(), gates)
    assert near(gradient, 1.5 * unscaled)  # not the gradient of 3 / sum of gates
    block.scales_output = True
    block.open_only(torch.tensor([0, 2]))
    assert near(output(), 1.5 * plain)
    block.remove_all_but(torch.tensor([0, 2]))
    assert near(output(), 1.5 * plain)


def test_the_factor_is_between_1_and_the_heads():
    assert [output_scale(8, n) for n in (8, 4, 1, 0.25, 0, 9)] == [1.0, 2.0, 8.0, 8.0, 8.0, 1.0]
    assert output_scale(0, 0) == 1.0


def trained(model, **more):
    """A checkpoint whose log-odds are LOGITS, in the form that a training writes."""
    args = options(model, **{"pruning_method": NAME, "l0_penalty": 0.01, **more})
    built = build(model, **vars(args))
    built.gates.set_logits(torch.tensor(LOGITS, dtype=torch.float64))
    return checkpoint_of(built, args), built.train().eval()


@pytest.mark.parametrize("model", [TRANSFORMER, ALL_ATTENTION])
def test_removal_multiplies_the_weights(model, tmp_path):
    state, built = trained(model)
    expected = chances(built)
    torch.save(state, tmp_path / "trained.pt")
    prune(str(tmp_path / "trained.pt"), str(tmp_path / "small.pt"))
    small = load(str(tmp_path / "small.pt"))
    assert kept_units_of(state).mask.tolist() == [bool(kept) for kept in KEPT]
    assert near(chances(build_model(small)), expected, 1e-5)
    assert near(chances(build_model(with_mask(state, kept_units_of(state).mask))), expected, 1e-5)
    _, other = trained(model, output_scaling="off")
    assert not near(chances(other), expected, 1e-3)
    # pruned once more: the factor is that of what is left, on weights that have the first factor already
    torch.save(small, tmp_path / "again.pt")
    again = prune(str(tmp_path / "again.pt"), str(tmp_path / "less.pt"), heads_to_keep="2")
    assert again.after.units == 2 and again.difference < 1e-4
    if model == TRANSFORMER:
        dense = prune(str(tmp_path / "trained.pt"), str(tmp_path / "dense.pt"), dense=True)
        assert dense.difference < 1e-4


def test_gates_on_hidden_units_leave_the_scaling_as_it_is():
    """Importance puts them on a checkpoint that had none; the model computes the same."""
    state, built = trained(TRANSFORMER)
    more = with_feed_forward(state, 8)
    assert kept_units_of(more).inventory.structures == ("heads", "ffn")
    assert near(chances(build_model(more)), chances(built), 1e-5)


def test_translation_models_scale_too_when_asked():
    _, model = translators("post-norm", pruning_method="uniform", heads_to_keep="12", output_scaling="on")
    _, plain = translators("post-norm", pruning_method="uniform", heads_to_keep="12")
    model, plain = model.eval(), plain.eval()
    with torch.no_grad():
        masked, other = model(**pairs())[0], plain(**pairs())[0]
        model.remove_pruned_units()
        assert near(model(**pairs())[0], masked, 1e-5) and not near(other, masked, 1e-3)


# numbers of heads


@pytest.mark.parametrize("keep", [0, 1, 3, 5, 6])
@pytest.mark.parametrize("name", [NAME, "dsp", "uniform"])
def test_with_a_number_of_heads_exactly_so_many_decode(keep, name):
    more = {"l0_penalty": 0.01} if name == NAME else {}
    args = options(ALL_ATTENTION, pruning_method=name, heads_to_keep=str(keep), **more)
    model = build(ALL_ATTENTION, **vars(args))
    model.gates.set_logits(torch.zeros(H, dtype=torch.float64))  # ties
    model.train().eval()
    assert int(model.gates.mask().sum()) == sum(block.open_units for block in model.gated_blocks) == keep
    assert int(kept_units_of(checkpoint_of(model, args)).mask.sum()) == keep
    assert model_options(checkpoint_of(model, args)).heads_to_keep == str(keep)


def test_training_moves_the_log_odds_towards_the_price():
    model = build(ALL_ATTENTION, pruning_method=NAME, l0_penalty=5.0, pruning_lr=0.3).train()
    for update in range(12):
        model.train()
        model.set_num_updates(update)
        model.gates.begin_update()
        loss = -model.get_normalized_probs(model(**batch()), log_probs=True)[..., 7].mean() + model.gates.penalty()
        loss.backward()
        model.gates.add_sample_size(1)
        model.gates.step()
    assert bool((model.gates.logits < 0).all()) and int(model.eval().gates.mask().sum()) == 0
