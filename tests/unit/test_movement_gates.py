"""Scores over a training: they live as logits do, and what they close is removed without changing the model."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from movement_models import OPTIONS, loss_of, movement_model, random_scores, train
from tiny_checkpoints import checkpoint_of
from tiny_models import VARIANTS, batch, build, near, translations

from dsp_fairseq.checkpoints.building import build_model
from dsp_fairseq.checkpoints.movement import folded, has_scores, masked_weights
from dsp_fairseq.checkpoints.reading import kept_units_of, with_mask
from dsp_fairseq.errors import BadInput
from dsp_fairseq.gates.weights.blocks import expanded
from dsp_fairseq.models.gated_transformer import GatedTransformerModel
from dsp_fairseq.structures.surgery import remove_units


def logits_of(model):
    with torch.no_grad():
        return model(**batch())[0]


def test_all_scores_open_change_nothing():
    model, stock = movement_model(), build(GatedTransformerModel, "post-norm", pruning_method="none")
    stock.load_state_dict(model.state_dict())
    for mode in (True, False):
        assert near(model.train(mode)(**batch())[0], stock.train(mode)(**batch())[0])


def test_a_share_is_exact_in_the_end_and_units_go():
    model = movement_model(weights_to_keep="30%")
    train(model, 20)
    gates = model.gates
    spent, budget = gates.layout.weights_in(gates.weight_mask()), int(0.3 * gates.layout.weights)
    assert 0 <= budget - spent < 32
    assert gates.open_counts == {"heads": int(gates.mask()[:30].sum()), "ffn": int(gates.mask()[30:].sum())}
    assert gates.open_counts["ffn"] < 112
    assert gates.further_scalars() == {"weights_kept": spent / gates.layout.weights}


def test_scores_of_closed_weights_learn_and_their_weights_have_no_gradient():
    model = random_scores(movement_model(), 1, 0.5).train()
    model.gates.begin_update()
    loss_of(model).backward()
    gradient, mask = model.gates._gradient(), model.gates.weight_mask()
    assert gradient[~mask].count_nonzero() > 20
    for matrix in model.gates.layout.matrices:
        linear = model.get_submodule(matrix.module)
        closed = expanded(matrix.of(mask), matrix.shape) == 0
        assert not linear.weight.grad[closed].any()
        if matrix.masks_bias:
            assert not linear.bias.grad[~matrix.rows_open(mask)].any()


def test_gradients_of_all_batches_and_processes_are_summed_and_divided_once():
    """Two batches of one process, or one batch each of two processes, with a loss scale: the same step."""
    models = [random_scores(movement_model(), 2).train() for _ in range(2)]
    for model in models:
        model.gates.plan_search(0, 0, 1.0, 1000)
        model.set_num_updates(3)
        model.gates.begin_update()
    for scale in (1.0, 2.0):
        (scale * loss_of(models[0])).backward()
        models[0].gates.add_sample_size(4)
    models[0].gates.step()
    (8.0 * loss_of(models[1])).backward()
    models[1].gates.add_sample_size(4)
    others = torch.cat([2 * models[1].gates._gradient(), torch.tensor([4.0])])
    models[1].gates.step(loss_scale=8.0, all_reduce=lambda total: total + others)
    assert near(models[1].gates.scores, models[0].gates.scores)
    assert near(models[1].gates.score_adam.mean, models[0].gates.score_adam.mean)  # Adam's step hides their size
    assert not torch.equal(models[0].gates.scores, random_scores(movement_model(), 2).gates.scores)


def test_an_overflow_leaves_no_trace():
    model = random_scores(movement_model(), 3).train()
    before = model.gates.scores.clone()
    model.gates.begin_update()
    (loss_of(model) * float("inf")).backward()
    model.gates.add_sample_size(1)
    model.gates.step()
    assert torch.equal(model.gates.scores, before) and model.gates.score_adam.steps == 0
    assert not model.gates._gradient().any()


def test_the_penalty_pushes_every_score_of_a_group_by_its_weight():
    options = {"movement_penalty": 6.0, "penalty_weights": "decoder.ffn=0", "pruning_lr": 0.2}
    model = movement_model(**options)
    gates = model.gates
    gates.plan_search(0, 0, 1.0, 100)
    gates.set_num_updates(60)
    assert float(gates.penalty()) == pytest.approx(6.0 * 0.5 * 3 / 4)
    gates.step()
    moved = {
        group: float(piece.max())
        for group, piece in zip(gates.layout.groups, gates.scores.split(list(gates.layout.sizes)), strict=True)
    }
    assert moved.pop("decoder.ffn") == 0.0 and max(moved.values()) < 0
    gates.set_num_updates(10)
    assert float(gates.penalty()) == 0.0  # it rises with the threshold


def test_rate_falls_to_0():
    gates = movement_model(weights_to_keep="50%").gates
    gates.plan_search(0, 0, 1.0, 100)
    steps = []
    for update in (0, 50, 99):
        gates.set_num_updates(update)
        gates.scores.zero_()
        gates.score_adam.restart()
        gates._leaves = [torch.zeros(size, requires_grad=True) for size in gates.layout.sizes]
        gates._leaves[0].sum().backward()
        gates.add_sample_size(1)
        gates.step()
        steps.append(-float(gates.scores[0]))
    assert steps == pytest.approx([0.01, 0.005, 0.0001], rel=1e-5)


def test_a_resumed_training_equals_an_uninterrupted_one():
    options = {"weights_to_keep": "40%", "movement_penalty": 1.0}
    whole = movement_model(**options)
    train(whole, 12)
    half, resumed = movement_model(**options), movement_model(**options)
    optimizer = train(half, 7, length=12)
    resumed.load_state_dict(half.state_dict())
    state = copy.deepcopy(optimizer.state_dict())
    other = torch.optim.Adam(resumed.parameters(), 1e-3)
    other.load_state_dict(state)
    resumed.set_num_updates(7)
    train(resumed, 5, first=7, length=12, optimizer=other)
    expected, found = whole.state_dict(), resumed.state_dict()
    assert expected.keys() == found.keys() and whole.gates.score_adam.steps == 12
    compared = [name for name in expected if not name.endswith("_float_tensor")]  # which nobody sets
    assert [name for name in compared if not near(found[name], expected[name], 1e-4)] == []


def test_a_training_begins_with_scores_of_0():
    model = movement_model(weights_to_keep="40%")
    train(model, 10)
    again = movement_model(weights_to_keep="40%")
    again.load_state_dict(model.state_dict())
    again.set_num_updates(0)
    assert not again.gates.scores.any() and again.gates.weight_mask().all() and again.gates.score_adam.steps == 0


def test_half_precision_leaves_the_scores_alone():
    model = random_scores(movement_model(), 1)
    before = model.gates.scores.clone()
    model.half()
    assert model.gates.scores.dtype == torch.float32 and torch.equal(model.gates.scores, before)
    assert model.encoder.layers[0].fc1.weight.dtype == torch.float16
    model.float()


@pytest.mark.parametrize("variant", VARIANTS)
def test_masked_equals_zeros_equals_removed(variant):
    for seed, closed in enumerate([(), ("0.self_attn.v_proj", "1.fc1"), ("encoder_attn.out_proj", "0.fc1")]):
        model = random_scores(movement_model(variant), seed, 0.6, closed)
        expected = logits_of(model)
        state = checkpoint_of(model, **{**OPTIONS, **VARIANTS[variant]})
        assert has_scores(state)
        everything = torch.ones(model.gates.inventory.units, dtype=torch.bool)
        zeros = build_model(with_mask(masked_weights(state), everything))  # has no masks of weights any more
        assert near(logits_of(zeros), expected)
        kept = kept_units_of(state)
        assert torch.equal(kept.mask, model.gates.mask()) and (not closed or kept.per_block.count(0))
        model.make_generation_fast_()
        model.decoder.steps = None
        assert near(logits_of(model), expected)
        assert [block.open_units for block in model.gated_blocks] == kept.per_block


def test_another_share_decodes_when_the_options_of_the_model_are_overridden():
    """fairseq notes the values of the training in ``overridden``; see ``options_of_training``."""
    trained = random_scores(movement_model(), 5, 0.3)  # by a threshold
    model = movement_model(weights_to_keep="20%", overridden={"weights_to_keep": None})
    model.load_state_dict(trained.state_dict())
    budget = 0.2 * model.gates.layout.weights
    assert budget - 32 < model.gates.layout.weights_in(model.gates.weight_mask()) <= budget
    same = movement_model(overridden={})
    same.load_state_dict(trained.state_dict())
    assert torch.equal(same.gates.weight_mask(), trained.gates.weight_mask())


def test_beam_search_is_the_same_masked_and_removed():
    models = [random_scores(movement_model(), 4, 0.5, ("0.encoder_attn.v_proj",)) for _ in range(2)]
    models[1].make_generation_fast_()
    for ours, other in zip(*(translations([model]) for model in models), strict=True):
        assert [h["tokens"].tolist() for h in ours] == [h["tokens"].tolist() for h in other]


@settings(max_examples=15)
@given(st.data())
def test_constant_units_are_folded_into_biases(data):
    """Zeros anywhere, with live biases: without the constant units the model is the same."""
    model = build(GatedTransformerModel, "post-norm", pruning_method="none", ffn_group=1, activation_fn=ACTIVATION)
    weights, blocks = model.state_dict(), model.gates.inventory.blocks
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 999)))
    for block in blocks:
        for name in data.draw(st.lists(st.sampled_from(PARTS[block.structure]), max_size=2, unique=True)):
            units = torch.rand(block.units, generator=generator) < data.draw(st.sampled_from([0.4, 1.0]))
            entries = units.repeat_interleave(block.width)
            matrix = weights[f"{block.module}.{name}.weight"]
            (matrix if name in ("q_proj", "k_proj", "v_proj", "fc1") else matrix.t())[entries] = 0.0
    expected = logits_of(model.eval())
    state, mask = folded(checkpoint_of(model, ffn_group=1, activation_fn=ACTIVATION), torch.ones(142).bool())
    assert torch.equal(mask, slow_varying(weights, blocks))
    small = build(
        GatedTransformerModel, "post-norm", pruning_method="none", ffn_group=1, activation_fn=ACTIVATION,
        kept_heads=model.gates.inventory.keeping(mask.tolist()).indices(),
    )  # fmt: skip
    after = model.gates.inventory.keeping(mask.tolist())
    small.load_state_dict(remove_units(state["model"], model.gates.inventory, after))
    assert near(logits_of(small.eval()), expected)


ACTIVATION = "gelu"  # whose value at a bias below 0 is not 0
PARTS = {"heads": ["q_proj", "k_proj", "v_proj", "out_proj"], "ffn": ["fc1", "fc2"]}


def slow_varying(weights, blocks):
    found = []
    for block in blocks:
        first, last = ("v_proj", "out_proj") if block.structure == "heads" else ("fc1", "fc2")
        for unit in range(block.units):
            own = slice(unit * block.width, (unit + 1) * block.width)
            into, out = weights[f"{block.module}.{first}.weight"][own], weights[f"{block.module}.{last}.weight"][:, own]
            found.append(bool(into.any()) and bool(out.any()))
    return torch.tensor(found)


@pytest.mark.parametrize("method", ["none", "uniform"])
def test_another_method_takes_its_weights_and_it_takes_those_of_another(method):
    budget = {"heads_to_keep": 9} if method == "uniform" else {}
    scored, other = (
        random_scores(movement_model(), 1),
        build(GatedTransformerModel, "post-norm", pruning_method=method, **budget),
    )
    other.load_state_dict(scored.state_dict())
    assert torch.equal(other.encoder.layers[0].fc1.weight, scored.encoder.layers[0].fc1.weight)
    again = movement_model()
    again.load_state_dict(other.state_dict())
    assert again.gates.weight_mask().all()


@pytest.mark.parametrize(
    "options, words",
    [
        ({"block_rows": 7}, "--block-rows 7: must divide"),
        ({"block_rows": 16}, "say 1, 2, 3, 4, 6, 8, 12 or 24"),
        ({"heads_to_keep": "7"}, "--heads-to-keep 7: --pruning-method movement counts weights"),
        ({"prunable": "encoder.self"}, "--prunable encoder.self: --pruning-method movement counts"),
        ({"weights_to_keep": "100%"}, "--weights-to-keep 100%: must be a share below 100%"),
        ({"weights_to_keep": "0.3"}, "--weights-to-keep 0.3: must be a share"),
        ({"weights_to_keep": "30%", "final_threshold": 0.2}, "--final-threshold 0.2: --weights-to-keep says"),
        ({"block_shape": "row"}, "--block-shape row: must be block or head"),
        ({"block_shape": "head"}, "--block-rows 4: --block-shape head"),
        ({"penalty_weights": "ffn=2"}, "--penalty-weights ffn=2: must be weights of groups"),
        ({"pruning_start": 0.7}, "--pruning-start 0.7: must be below --pruning-end (0.6), or nothing is ever pruned"),
        ({"max_update": 100}, "no score can fall to"),
        ({"pruning_mode": "pipelined"}, "--pruning-mode pipelined"),
    ],
)
def test_what_cannot_be_followed_is_refused_in_one_line(options, words):
    with pytest.raises(BadInput) as refusal:
        movement_model(**options)
    assert words in str(refusal.value)


def test_the_task_learns_that_nothing_would_be_pruned():
    with pytest.raises(BadInput, match="no score can fall"):
        movement_model().gates.plan_search(0, 100, 1.0, 100)
