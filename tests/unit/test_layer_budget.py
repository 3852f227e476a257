"""The budget in layers: exact for each stack and every method, chosen before what lies in the layers."""

from argparse import Namespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dsp_fairseq.errors import BadInput
from dsp_fairseq.families import inventory_of
from dsp_fairseq.gates.logit_adam import LogitAdam
from dsp_fairseq.gates.methods import METHODS
from dsp_fairseq.options.plan import Plan
from dsp_fairseq.options.problems import model_problems
from dsp_fairseq.structures.layers import even_order
from dsp_fairseq.structures.nesting import rebuilt

SHAPE = {
    "arch": "gated_transformer", "encoder_layers": 4, "encoder_attention_heads": 4, "encoder_embed_dim": 16,
    "decoder_layers": 3, "decoder_attention_heads": 2, "decoder_embed_dim": 16, "encoder_ffn_embed_dim": 32,
    "decoder_ffn_embed_dim": 16,
}  # fmt: skip
HEADS, LAYERS = 4 * 4 + 2 * 3 * 2, 7
HEAD_OF_ENCODER, HEAD_OF_DECODER, GROUP = 4 * 16 * 4 + 3 * 4, 4 * 16 * 8 + 3 * 8, 8 * (2 * 16 + 1)
SEARCH = 60


def options(layers="encoder=2,decoder=1", **given):
    return Namespace(**{**SHAPE, "pruning_method": "uniform", "layers_to_keep": layers, **given})


def parts(mask, plan):
    """(layers kept of each stack, units kept by structure, units kept in closed layers) by a slow loop."""
    blocks = list(zip(plan.inventory.blocks, mask.split(plan.inventory.sizes), strict=True))
    layers = {
        block.part: torch.nonzero(piece).flatten().tolist() for block, piece in blocks if block.structure == "layers"
    }
    kept, outside = {}, 0
    for block, piece in blocks:
        if block.structure != "layers":
            kept[block.structure] = kept.get(block.structure, 0) + int(piece.sum()) * block.count
            outside += 0 if block.layer in layers[block.part] else int(piece.sum())
    return layers, kept, outside


LOGITS = st.lists(st.integers(-5, 5), min_size=HEADS + LAYERS, max_size=HEADS + LAYERS)  # with ties


@settings(max_examples=80)
@given(logits=LOGITS, encoder=st.integers(1, 4), decoder=st.integers(1, 3), data=st.data())
def test_layers_come_first_and_heads_only_in_them(logits, encoder, decoder, data):
    room = 4 * encoder + 4 * decoder
    keep = data.draw(st.integers(0, room))
    plan = Plan.of(options(f"encoder={encoder},decoder={decoder}", heads_to_keep=str(keep)))
    logits = torch.tensor(logits, dtype=torch.float64)
    mask = plan.choice.mask(logits)
    layers, kept, outside = parts(mask, plan)
    assert [len(layers["encoder"]), len(layers["decoder"])] == [encoder, decoder]
    assert kept == {"heads": keep} and not outside and plan.choice.accepts(mask)
    best = {
        part: sorted(range(len(own)), key=lambda layer: -float(own[layer]))[:count]
        for part, own, count in (("encoder", logits[28:32], encoder), ("decoder", logits[32:], decoder))
    }
    assert {part: sorted(own) for part, own in best.items()} == layers
    inside = [
        h
        for b, piece in zip(
            plan.inventory.blocks[:-2], torch.arange(HEADS).split(plan.inventory.sizes[:-2]), strict=True
        )
        for h in piece.tolist()
        if b.layer in layers[b.part]
    ]
    top = sorted(inside, key=lambda head: -float(logits[head]))[:keep]
    assert sorted(top) == torch.nonzero(mask[:HEADS]).flatten().tolist()
    if 0 < keep < room:
        wrong = mask.clone()
        wrong[top[0]] = False  # a head of another layer in its place
        other = [head for head in range(HEADS) if head not in inside]
        if other:
            wrong[other[0]] = True
            assert not plan.choice.accepts(wrong)


@given(logits=LOGITS)
def test_without_other_budgets_the_layers_that_stay_are_whole(logits):
    plan = Plan.of(options())
    mask = plan.choice.mask(torch.tensor(logits, dtype=torch.float64))
    _, kept, outside = parts(mask, plan)
    assert kept == {"heads": 2 * 4 + 4} and not outside
    left = rebuilt(plan.inventory.keeping(mask.tolist()))
    assert [block.name for block in left.blocks] == [
        "encoder.self.0",
        "encoder.self.1",
        "decoder.self.0",
        "decoder.cross.0",
    ]
    assert [block.module for block in left.blocks][1:] == [
        "encoder.layers.1.self_attn", "decoder.layers.0.self_attn", "decoder.layers.0.encoder_attn",
    ]  # fmt: skip


@settings(max_examples=60)
@given(amount=st.integers(0, 16 * HEAD_OF_ENCODER + 12 * HEAD_OF_DECODER + 22 * GROUP), seed=st.integers(0, 99))
def test_parameters_count_only_in_the_layers_that_stay(amount, seed):
    plan = Plan.of(options(parameters_to_keep=str(amount), ffn_group=8))
    logits = torch.randn(plan.inventory.units, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    mask = plan.choice.mask(logits)
    layers, _, outside = parts(mask, plan)
    costs = torch.tensor([b.cost for b in plan.inventory.blocks for _ in range(b.units)])[:-LAYERS]
    spent = int(costs[mask[:-LAYERS]].sum())
    assert not outside and spent <= amount and plan.choice.accepts(mask)
    pieces = zip(plan.inventory.blocks[:-2], mask[:-LAYERS].split(plan.inventory.sizes[:-2]), strict=True)
    more = [b.cost for b, piece in pieces if b.layer in layers[b.part] and not piece.all()]
    assert not more or spent + min(more) > amount  # nothing more fits
    assert f"{spent:,} of at most" in plan.choice.budget_in_words(mask)


def test_blocks_that_are_not_prunable_stay_in_their_layers_and_are_not_counted():
    plan = Plan.of(
        options(parameters_to_keep="50%", ffn_group=8, prunable="decoder.self,decoder.cross,encoder.ffn,decoder.ffn")
    )
    prunable = 12 * HEAD_OF_DECODER + 22 * GROUP
    mask = plan.choice.mask(torch.arange(plan.inventory.units).double())
    layers, _, outside = parts(mask, plan)
    pieces = list(zip(plan.inventory.blocks[:-2], mask[:-LAYERS].split(plan.inventory.sizes[:-2]), strict=True))
    assert not outside and all(
        piece.all() for b, piece in pieces if b.kind == "encoder.self" and b.layer in layers["encoder"]
    )
    spent = sum(int(piece.sum()) * b.cost for b, piece in pieces if b.kind != "encoder.self")
    # two of four encoder layers and one of three decoder layers have less than the budget
    assert spent == 4 * HEAD_OF_DECODER + (2 * 4 + 2) * GROUP <= prunable // 2
    few = Plan.of(
        options(parameters_to_keep="10%", ffn_group=8, prunable="decoder.self,decoder.cross,encoder.ffn,decoder.ffn")
    )
    mask = few.choice.mask(torch.arange(few.inventory.units).double())
    pieces = zip(few.inventory.blocks[:-2], mask[:-LAYERS].split(few.inventory.sizes[:-2]), strict=True)
    spent = sum(int(piece.sum()) * b.cost for b, piece in pieces if b.kind != "encoder.self")
    assert int(0.1 * prunable) - GROUP < spent <= int(0.1 * prunable)


@settings(max_examples=60)
@given(layers=st.integers(1, 24), data=st.data())
def test_an_even_choice_leaves_gaps_that_differ_by_one_at_most(layers, data):
    keep = data.draw(st.integers(1, layers))
    order = even_order(layers, keep)
    assert sorted(order) == list(range(layers))
    kept = sorted(order[:keep])
    gaps = [later - layer for layer, later in zip(kept, [*kept[1:], kept[0] + layers], strict=True)]
    assert max(gaps) - min(gaps) <= 1
    assert abs(kept[0] - (layers - 1 - kept[-1])) <= 1  # as many are left out at either end


@pytest.mark.parametrize(
    "layers, expected", [("encoder=2,decoder=1", [[1, 3], [1]]), ("encoder=3,decoder=2", [[0, 2, 3], [0, 2]])]
)
def test_the_uniform_choice_is_spread_over_the_depth(layers, expected):
    plan = Plan.of(options(layers, heads_to_keep="5"))
    mask = plan.gates().mask()
    found, _, _ = parts(mask, plan)
    assert list(found.values()) == expected
    heads = mask[:HEADS].split(plan.inventory.sizes[:-2])
    inside = [
        int(piece.sum())
        for block, piece in zip(plan.inventory.blocks, heads, strict=False)
        if block.layer in found[block.part]
    ]
    assert max(inside) - min(inside) <= 1


LEARNED = [name for name, cls in METHODS.items() if cls.learns]


def gates_of(method, layers="encoder=2,decoder=1", **more):
    extra = {"dsp": {"search_updates": SEARCH}, "l0": {"search_updates": SEARCH}}
    extra["dsp-published"] = {"initial_temperature": 1.0, "final_temperature": 1e-3, "cooldown_updates": SEARCH}
    torch.manual_seed(1)
    return Plan.of(options(layers, pruning_method=method, seed=1, **extra.get(method, {}), **more)).gates()


def train(gates, slope, first=0, until=SEARCH):
    for update in range(first, until):
        gates.set_num_updates(update)
        gates.begin_update()
        drawn = None if gates.settled else gates.of_update(torch.device("cpu"))
        if drawn is not None:
            penalty = gates.penalty()
            ((drawn * slope).sum() + (0.0 if penalty is None else penalty)).backward()
            gates.add_sample_size(1)
            yield update, drawn.detach()
            gates.step()
    gates.set_num_updates(until)


@pytest.mark.parametrize("method", LEARNED)
@pytest.mark.parametrize("heads", [None, "6", "encoder.self=3,decoder.self=1,decoder.cross=2"])
def test_every_method_ends_with_exactly_so_many_layers_of_each_stack(method, heads):
    gates = gates_of(method, **({} if heads is None else {"heads_to_keep": heads}))
    slope = torch.zeros(gates.inventory.units)
    slope[-7:] = torch.tensor([-1.0, 1, -1, 1, 1, 1, -1]) * 0.05  # encoder layers 0 and 2, decoder layer 2
    for update, drawn in train(gates, slope):
        counts = gates.open_counts
        if method in ("dsp", "ste"):
            assert set(drawn.unique().tolist()) <= {0.0, 1.0}
            open_layers = {"encoder": drawn[28:32], "decoder": drawn[32:]}
            assert counts["layers"] == int(drawn[28:].sum())
            # no head is open where nothing can be
            pieces = zip(gates.inventory.blocks[:-2], drawn[:HEADS].split(gates.inventory.sizes[:-2]), strict=True)
            assert not any(piece.any() for block, piece in pieces if not open_layers[block.part][block.layer])
            assert counts["heads"] == int(drawn[:HEADS].sum())
            if method == "ste":
                assert [int(own.sum()) for own in open_layers.values()] == [2, 1]
        elif method == "dsp-published":
            assert float(drawn[28:32].sum()) == pytest.approx(2) and float(drawn[32:].sum()) == pytest.approx(1)
        assert update < SEARCH
    plan = Plan.of(options(heads_to_keep=heads))
    layers, kept, outside = parts(gates.mask(), plan)
    assert not outside and kept["heads"] == (12 if heads is None else 6)
    assert [len(own) for own in layers.values()] == [2, 1]
    if method != "l0":  # whose gates are led by the Lagrangian too
        assert list(layers.values()) == [[0, 2], [2]]
    gates.eval()
    assert gates.open_counts == {**kept, "layers": 3}


def test_the_number_of_open_layers_falls_and_never_rises():
    gates = gates_of("dsp", heads_to_keep="6")
    counts = [gates.open_counts for _, _ in train(gates, torch.zeros(gates.inventory.units))]
    layers, heads = ([of[name] for of in counts] for name in ("layers", "heads"))
    assert layers == sorted(layers, reverse=True) and layers[0] > layers[-1] >= 3
    assert heads[-1] <= 10 and heads[0] > 20


@pytest.mark.parametrize("method", ["dsp", "ste", "l0"])
def test_a_restart_draws_the_same(method):
    slope = torch.linspace(-0.2, 0.2, HEADS + LAYERS)
    whole, first = (gates_of(method, heads_to_keep="6") for _ in range(2))
    expected = [drawn for _, drawn in train(whole, slope)]
    begun = [drawn for _, drawn in train(first, slope, until=35)]
    rest = gates_of(method, heads_to_keep="6")
    rest.load_state_dict(first.state_dict())
    found = [*begun, *(drawn for _, drawn in train(rest, slope, first=35))]
    assert len(found) == len(expected) and all(map(torch.equal, found, expected))
    assert torch.equal(rest.logits, whole.logits) and torch.equal(rest.mask(), whole.mask())


def test_large_gradients_of_layers_do_not_slow_the_heads_down():
    gradient = torch.cat([torch.full((4,), 1.0), torch.full((2,), 1000.0)]).double()
    logits = torch.zeros(6, dtype=torch.float64)
    LogitAdam(6, 0.1, pooled=True, groups=[4, 2]).step(logits, gradient)
    assert logits.tolist() == pytest.approx([-0.1] * 6)


def test_expected_heads_are_those_in_open_layers():
    gates = gates_of("l0", heads_to_keep="6")
    gates.set_logits(
        torch.cat([torch.full((HEADS,), 30.0), torch.tensor([30.0, -30, -30, -30, 30, -30, -30])]).double()
    )
    assert gates.expected_counts == pytest.approx({"heads": 4 + 4, "layers": 2}, abs=1e-6)
    gates.set_num_updates(SEARCH - 1)
    sparsities = [float(found.detach()) for found, _ in gates._sparsities()]
    assert sparsities == pytest.approx([1 - 8 / HEADS, 3 / 4, 2 / 3], abs=1e-6)


REFUSED = [
    ({"layers": "4"}, ["--layers-to-keep 4", "encoder=4,decoder=3"]),
    ({"layers": "encoder=2"}, ["--layers-to-keep encoder=2", "encoder=4,decoder=3"]),
    ({"layers": "encoder=2,decoder=1,encoder=2"}, ["--layers-to-keep encoder=2,decoder=1,encoder=2", "each stack"]),
    ({"layers": "encoder=2,decoder=x"}, ["--layers-to-keep encoder=2,decoder=x", "each stack"]),
    ({"layers": "encoder=-1,decoder=1"}, ["--layers-to-keep", "each stack"]),
    ({"layers": "encoder=2, decoder=1"}, ["--layers-to-keep", "each stack"]),
    ({"layers": ""}, ["--layers-to-keep ''", "is empty"]),
    ({"layers": "encoder=5,decoder=1"}, ["--layers-to-keep encoder=5: must be 1 to 4"]),
    ({"layers": "encoder=4,decoder=0"}, ["--layers-to-keep decoder=0: must be 1 to 3", "one at least"]),
    (
        {"heads_to_keep": "13"},
        ["--heads-to-keep 13", "leaves 12", "8 in 2 of 4 layers of the encoder + 4 in 1 of 3", "at most 12"],
    ),
    (
        {"heads_to_keep": "encoder.self=9,decoder.self=1,decoder.cross=1"},
        ["--heads-to-keep encoder.self=9", "leaves 8", "2 of 4 layers", "at most 8"],
    ),
    ({"ffn_to_keep": "96", "ffn_group": 8}, ["--ffn-to-keep 96", "leaves 80", "at most 80"]),
    ({"heads_to_keep": "3", "min_heads_per_block": 1}, ["--heads-to-keep 3", "ask for 4 in 4 blocks"]),
    ({"heads_to_keep": "9", "max_heads_per_block": 2}, ["--heads-to-keep 9", "leaves room for 8 in 4 blocks"]),
    ({"heads_to_keep_range": "2:5"}, ["--layers-to-keep encoder=2,decoder=1", "--heads-to-keep-range"]),
    ({"heads_to_keep": "5", "prunable": "encoder.layers"}, ["--prunable encoder.layers", "encoder.self"]),
    (
        {"parameters_to_keep": "1%", "min_heads_per_block": 1, "ffn_group": 8},
        ["--parameters-to-keep", "--min-heads-per-block"],
    ),
    ({"parameters_to_keep": "50%", "heads_to_keep": "5", "ffn_group": 8}, ["--heads-to-keep", "each kind"]),
]


@pytest.mark.parametrize("given, words", REFUSED)
def test_each_refusal_names_the_option_the_value_and_the_remedy(given, words):
    found = model_problems(options(**given))
    assert len(found) == 1 and "\n" not in found[0]
    assert all(word in found[0] for word in words), found


@pytest.mark.parametrize(
    "given",
    [
        {"heads_to_keep": "4", "min_heads_per_block": 1},
        {"heads_to_keep": "12"},
        {"heads_to_keep": "8", "max_heads_per_block": 2},
    ],
)
def test_limits_hold_in_the_layers_that_are_left(given):
    assert model_problems(options(**given)) == []
    plan = Plan.of(options(**given))
    _, kept, outside = parts(plan.choice.mask(torch.arange(HEADS + LAYERS).double()), plan)
    assert kept == {"heads": int(given["heads_to_keep"])} and not outside


def test_all_problems_are_told_at_once():
    assert len(model_problems(options("encoder=9,decoder=9", heads_to_keep="99"))) == 3


def test_a_model_without_gates_on_layers_cannot_choose_them():
    plan = Plan.of(Namespace(**SHAPE, pruning_method="uniform", heads_to_keep="5"))
    with pytest.raises(
        BadInput, match="--layers-to-keep encoder=1,decoder=1: the layers of this checkpoint have no gates"
    ):
        plan.keeping(layers_to_keep="encoder=1,decoder=1")


def test_another_budget_leaves_the_number_of_layers_as_it_is():
    plan = Plan.of(options(heads_to_keep="5", ffn_group=8))
    for budget in ({"heads_to_keep": "3"}, {"parameters_to_keep": "10%"}, {"heads_to_keep": "3", "ffn_to_keep": "16"}):
        layers, _, outside = parts(plan.keeping(**budget).mask(torch.arange(plan.inventory.units).double()), plan)
        assert [len(own) for own in layers.values()] == [2, 1] and not outside
    choice = plan.keeping(layers_to_keep="encoder=4,decoder=3", heads_to_keep="28")
    assert choice.mask(torch.zeros(plan.inventory.units)).all()


def test_a_model_without_some_heads_can_lose_hidden_units_and_layers():
    kept = {**inventory_of(options(None)).indices(), "encoder.self.1": [0]}
    assert model_problems(options(ffn_to_keep="8", ffn_group=8, kept_heads=kept)) == []
    found = model_problems(options(kept_heads={**kept, "encoder.layers": [0]}))
    assert len(found) == 1 and "kept_heads" in found[0]  # a stack has all the layers of --encoder-layers


def test_layers_that_differ_are_judged_by_the_smallest():
    kept = {
        **inventory_of(options(None)).indices(),
        "encoder.self.1": [0],
        "encoder.self.2": [],
        "decoder.cross.0": [1],
    }
    given = {"kept_heads": kept}
    assert (
        "leaves 4 heads (1 in 2 of 4 layers of the encoder + 3 in"
        in model_problems(options(heads_to_keep="5", **given))[0]
    )
    plan = Plan.of(options(heads_to_keep="4", **given))
    for seed in range(20):
        logits = torch.randn(plan.inventory.units, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        assert parts(plan.choice.mask(logits), plan)[1] == {"heads": 4}
    [line] = model_problems(options(heads_to_keep="4", parameters_to_keep="50%", ffn_group=8, **given))
    assert "layers differ in the number of heads" in line and "leave one of the three out" in line
