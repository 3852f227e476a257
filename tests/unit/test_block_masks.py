"""Blocks of weights: the straight-through gradient, exact shares, the penalty, the schedule. Loops are the oracle."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dsp_fairseq.families.transformer.inventory import transformer_inventory
from dsp_fairseq.gates.methods import METHODS
from dsp_fairseq.gates.methods.movement import Settings
from dsp_fairseq.gates.weights.blocks import block_sums, expanded, masked
from dsp_fairseq.gates.weights.gates import mask_of
from dsp_fairseq.gates.weights.layout import Blocking, Layout, blocking_problems
from dsp_fairseq.gates.weights.penalty import open_share, parsed_weights
from dsp_fairseq.gates.weights.schedule import Schedule
from dsp_fairseq.structures.inventory import Block, Inventory

HEADS = transformer_inventory(2, 3, 1, 2, (8, 12))  # 24 wide
FFN = Block("encoder.ffn", 0, "encoder.layers.0", 10, tuple(range(10)), "ffn", 1, 49, widths=(24, 24))
INVENTORY = Inventory([*HEADS.blocks, FFN])
LAYOUT = Layout.of(INVENTORY, Blocking(4, 8))


def settings(**options):
    defaults = {**METHODS["movement"].defaults("joint"), "movement_penalty": None}
    return Settings.of({**defaults, **options})


def matrix_and_mask(data):
    down, across, rows, columns = (data.draw(st.integers(1, 4)) for _ in range(4))
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 99)))
    weight = torch.randn(down * rows, across * columns, generator=generator, dtype=torch.float64)
    mask = torch.randint(0, 2, (down, across), generator=generator).double()
    return weight, mask, (rows, columns)


@given(st.data())
def test_each_weight_is_masked_by_its_block(data):
    weight, mask, (rows, columns) = matrix_and_mask(data)
    result = masked(weight, torch.zeros_like(mask), mask)
    for i, j in itertools.product(*map(range, weight.shape)):
        assert result[i, j] == weight[i, j] * mask[i // rows, j // columns]
        assert expanded(mask, tuple(weight.shape))[i, j] == mask[i // rows, j // columns]


@given(st.data())
def test_gradients_are_those_of_the_straight_through_definition(data):
    """dM/dS = 1: the gradient of the scores is that of a mask which moves with them; finite differences in float64."""
    weight, mask, _ = matrix_and_mask(data)
    weight.requires_grad_()
    scores = torch.zeros_like(mask).requires_grad_()

    def loss(product):
        return (product.sin() * torch.arange(product.numel()).view_as(product)).sum()

    loss(masked(weight, scores, mask)).backward()
    step = 1e-6
    gradient = scores.grad
    for i, j in itertools.product(*map(range, mask.shape)):
        moved = torch.zeros_like(mask)
        moved[i, j] = step
        up, down = (loss(expanded(mask + sign * moved, tuple(weight.shape)) * weight) for sign in (1, -1))
        assert float(gradient[i, j]) == pytest.approx(float((up - down).detach() / (2 * step)), rel=1e-6, abs=1e-6)
    closed = expanded(mask, tuple(weight.shape)) == 0
    assert not weight.grad[closed].any()  # masked weights get none, their scores do
    product = weight.detach().clone().requires_grad_()
    loss(product * expanded(mask, tuple(weight.shape))).backward()
    assert torch.allclose(weight.grad, product.grad)


def test_half_precision_sums_in_float32():
    weight = torch.full((64, 64), 100.0, dtype=torch.float16, requires_grad=True)
    scores = torch.zeros(1, 1, requires_grad=True)
    masked(weight, scores, torch.ones(1, 1)).sum().backward()
    assert scores.grad.item() == 100.0 * 64 * 64  # above float16's largest number


def test_block_sums_are_the_adjoint_of_expansion():
    matrix, grid = torch.randn(6, 8, dtype=torch.float64), torch.randn(3, 2, dtype=torch.float64)
    assert torch.allclose((expanded(grid, (6, 8)) * matrix).sum(), (grid * block_sums(matrix, (3, 2))).sum())


def test_every_prunable_weight_has_one_score_and_the_costs_say_how_many():
    weights = {m.module: torch.zeros(LAYOUT.scores, dtype=torch.int64) for m in LAYOUT.matrices}
    for matrix in LAYOUT.matrices:
        place = expanded(matrix.of(torch.arange(LAYOUT.scores)), matrix.shape)
        weights[matrix.module] = place.flatten().bincount(minlength=LAYOUT.scores)
    counted = torch.stack(list(weights.values())).sum(dim=0)
    costs = torch.tensor(LAYOUT.costs).repeat_interleave(torch.tensor(LAYOUT.sizes))
    assert torch.equal(counted, costs)
    assert LAYOUT.weights == int(costs.sum()) == 4 * 4 * 24 * 24 + 2 * 24 * 10


def test_the_output_projection_has_rows_and_columns_swapped():
    grids = {matrix.module.rpartition(".")[2]: matrix.grid for matrix in LAYOUT.matrices}
    assert grids["q_proj"] == (24 // 4, 24 // 8) and grids["out_proj"] == (24 // 8, 24 // 4)
    assert grids["fc1"] == (10, 1) and grids["fc2"] == (1, 10)


@given(st.data())
def test_a_share_of_the_weights_is_exact_ties_included(data):
    scores = torch.randn(LAYOUT.scores, generator=torch.Generator().manual_seed(data.draw(st.integers(0, 999))))
    scores = scores.round() if data.draw(st.booleans()) else scores
    share = data.draw(st.floats(0, 1))
    mask = LAYOUT.top(scores, share)
    costs = torch.tensor(LAYOUT.costs).repeat_interleave(torch.tensor(LAYOUT.sizes))
    budget, left, expected = math.floor(share * LAYOUT.weights + 1e-9), math.floor(share * LAYOUT.weights + 1e-9), []
    for place in sorted(range(LAYOUT.scores), key=lambda place: (-float(scores[place]), place)):
        if costs[place] <= left:
            left -= int(costs[place])
            expected.append(place)
    assert mask.nonzero().flatten().tolist() == sorted(expected)
    spent = LAYOUT.weights_in(mask)
    assert spent <= budget and (mask.all() or budget - spent < int(costs[~mask].min()))


def test_equal_costs_make_the_share_exact_to_the_block():
    layout = Layout.of(HEADS, Blocking(4, 8))
    for share in (0.0, 0.25, 0.5, 1.0):
        assert layout.weights_in(layout.top(torch.zeros(layout.scores), share)) == share * layout.weights


@pytest.mark.parametrize("share", [None, "30%"])
def test_nothing_is_masked_before_the_start(share):
    chosen = settings(weights_to_keep=share)
    scores = torch.linspace(-50, 50, LAYOUT.scores)
    assert mask_of(scores, chosen.level(0.0), LAYOUT, chosen).all()
    assert not mask_of(scores, chosen.level(1.0), LAYOUT, chosen).all()


def test_the_threshold_is_one_of_the_sigmoid():
    chosen = settings()
    scores = torch.linspace(-4, 4, LAYOUT.scores)
    assert torch.equal(mask_of(scores, 0.1, LAYOUT, chosen), scores.double().sigmoid() > 0.1)


def test_units_are_gone_with_their_values_or_outputs_but_not_with_their_queries_or_keys():
    everything = torch.ones(LAYOUT.scores, dtype=torch.bool)
    for name, gone in (("q_proj", False), ("k_proj", False), ("v_proj", True), ("out_proj", True)):
        mask = everything.clone()
        [matrix] = [m for m in LAYOUT.matrices if m.module == f"encoder.layers.1.self_attn.{name}"]
        entries = matrix.of(torch.arange(LAYOUT.scores))
        of_head = entries[2:4] if matrix.axis == 0 else entries[:, 2:4]  # head 1 has rows 8 to 15, blocks are 4 high
        mask[of_head.flatten()] = False
        left = LAYOUT.units_left(mask)
        assert left.tolist() == [not (gone and unit == 4) for unit in range(INVENTORY.units)]
        mask[of_head.flatten()[0]] = True
        assert LAYOUT.units_left(mask).all()


def test_a_block_that_spans_two_heads_keeps_both():
    layout = Layout.of(HEADS, Blocking(24, 24))
    mask = torch.ones(layout.scores, dtype=torch.bool)
    mask[layout.matrices[2].start] = False  # the values of the first block
    assert layout.units_left(mask).tolist() == [False] * 3 + [True] * (HEADS.units - 3)


def test_the_shape_head_has_one_score_a_head():
    layout = Layout.of(INVENTORY, Blocking(shape="head"))
    assert layout.scores == INVENTORY.units
    mask = torch.rand(layout.scores, generator=torch.Generator().manual_seed(3)) > 0.5
    assert torch.equal(layout.units_left(mask), mask)
    assert layout.weights == LAYOUT.weights


def test_penalty_is_the_mean_over_groups_and_half_at_the_start():
    assert float(open_share(torch.zeros(LAYOUT.scores), LAYOUT, {})) == pytest.approx(0.5)
    scores = torch.randn(LAYOUT.scores, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    weights = {"encoder.ffn": 0.25, "decoder.attention": 2.0}
    sums, counts, place = {}, {}, 0
    for group, size in zip(LAYOUT.groups, LAYOUT.sizes, strict=True):
        for _ in range(size):
            sums[group] = sums.get(group, 0.0) + 1 / (1 + math.exp(-float(scores[place])))
            counts[group] = counts.get(group, 0) + 1
            place += 1
    expected = sum(weights.get(group, 1.0) * sums[group] / counts[group] for group in sums) / len(sums)
    assert set(sums) == {"encoder.attention", "decoder.attention", "encoder.ffn"}
    assert float(open_share(scores, LAYOUT, weights)) == pytest.approx(expected)


@pytest.mark.parametrize(
    "text", ["ffn=1", "encoder.ffn", "encoder.ffn=-1", "encoder.ffn=1,encoder.ffn=2", "encoder.ffn=x"]
)
def test_weights_of_no_group_are_refused_with_the_groups(text):
    with pytest.raises(ValueError, match="such as encoder.ffn=1,decoder.ffn=1"):
        parsed_weights(text, ["encoder.ffn", "decoder.ffn"])
    assert parsed_weights("encoder.ffn=0.5", ["encoder.ffn", "decoder.ffn"]) == {"encoder.ffn": 0.5}


@given(st.integers(10, 5000), st.floats(0, 0.9), st.floats(0.05, 1))
def test_the_schedule_rises_once_from_0_to_1(length, start, span):
    schedule = Schedule(start, min(1.0, start + span))
    if schedule.problems(length):
        return
    first, last = schedule.updates(length)
    values = [schedule.progress(update, length) for update in range(length + 1)]
    assert values == sorted(values) and not any(values[: first + 1])
    assert all(value == 1.0 for value in values[last:]) and values[first + 1] > 0


def test_blocks_that_do_not_divide_are_refused_with_the_sizes_that_do():
    [rows] = blocking_problems(INVENTORY, Blocking(16, 8))
    assert rows.startswith("--block-rows 16: must divide the 24 rows") and rows.endswith("1, 2, 3, 4, 6, 8, 12 or 24")
    assert len(blocking_problems(INVENTORY, Blocking(16, 7))) == 2
    with pytest.raises(ValueError, match="--block-cols 9"):
        Layout.of(INVENTORY, Blocking(8, 9))
    assert blocking_problems(INVENTORY, Blocking(16, 7, "head")) == []
    for size in (1, 2, 3, 4, 6, 8, 12, 24):
        assert Layout.of(INVENTORY, Blocking(size, size)).weights == LAYOUT.weights


@pytest.mark.parametrize(
    "options, length, words",
    [
        ({"pruning_start": 0.5, "pruning_end": 0.501, "weights_to_keep": "30%"}, 100, "nothing would ever be pruned"),
        ({"weights_to_keep": "30%", "pruning_end": 0.4}, 1, "nothing would ever be pruned"),
        ({}, 300, "no score can fall to -2.20"),
        ({}, 450, "no score can fall to -2.20"),  # nothing pushes them before the start
        ({"pruning_lr": 1e-4, "pruning_start": 0.2}, 5000, "say 0.00139 or more"),
    ],
)
def test_a_training_that_never_prunes_is_refused(options, length, words):
    [line] = settings(**options).problems(length)
    assert words in line
    assert settings(pruning_lr=0.02, weights_to_keep=options.get("weights_to_keep")).problems(5000) == []
