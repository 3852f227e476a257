"""Budgets in hidden units and in parameters: the arithmetic, what competes for what is left, and every refusal."""

from argparse import Namespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dsp_fairseq.errors import BadInput
from dsp_fairseq.families import inventory_of
from dsp_fairseq.options.parameter_budget import parse_parameters
from dsp_fairseq.options.plan import Plan
from dsp_fairseq.options.problems import model_problems
from dsp_fairseq.structures.padding import padded_heads

SHAPE = {
    "arch": "gated_transformer", "encoder_layers": 2, "encoder_attention_heads": 4, "encoder_embed_dim": 16,
    "decoder_layers": 1, "decoder_attention_heads": 2, "decoder_embed_dim": 16, "encoder_ffn_embed_dim": 32,
    "decoder_ffn_embed_dim": 16, "ffn_group": 8,
}  # fmt: skip
HEADS, GROUPS = 8 + 2 + 2, 2 * 4 + 2
# METHODS 7: 4 d d_h + 3 d_h a head, 2 d + 1 a hidden unit
HEAD_OF_ENCODER, HEAD_OF_DECODER, GROUP = 4 * 16 * 4 + 3 * 4, 4 * 16 * 8 + 3 * 8, 8 * (2 * 16 + 1)
PRUNABLE = 8 * HEAD_OF_ENCODER + 4 * HEAD_OF_DECODER + GROUPS * GROUP


def options(**given):
    return Namespace(**{**SHAPE, "pruning_method": "uniform", **given})


def spent(mask):
    blocks = inventory_of(options()).blocks
    costs = torch.cat([torch.full((block.units,), block.cost) for block in blocks])
    return int(costs[mask].sum())


def test_costs_are_the_parameters_that_go_with_a_unit():
    blocks = inventory_of(options()).blocks
    expected = {"encoder.self": HEAD_OF_ENCODER, "decoder.self": HEAD_OF_DECODER, "decoder.cross": HEAD_OF_DECODER}
    assert {block.kind: block.cost for block in blocks} == {**expected, "encoder.ffn": GROUP, "decoder.ffn": GROUP}
    assert [block.units for block in blocks] == [4, 4, 2, 2, 4, 4, 2]


@settings(max_examples=60)
@given(
    amount=st.integers(0, PRUNABLE),
    logits=st.lists(st.integers(-9, 9), min_size=HEADS + GROUPS, max_size=HEADS + GROUPS),
)
def test_at_most_the_budget_is_kept_and_nothing_more_fits(amount, logits):
    plan = Plan.of(options(parameters_to_keep=str(amount)))
    mask = plan.choice.mask(torch.tensor(logits, dtype=torch.float64))
    slack = amount - spent(mask)
    assert slack >= 0
    for unit in torch.nonzero(~mask).flatten().tolist():
        more = mask.clone()
        more[unit] = True
        assert spent(more) > amount
    assert plan.choice.accepts(mask)
    assert plan.choice.budget_in_words(mask) == f"{spent(mask):,} of at most {amount:,} parameters, {slack:,} left"


def test_a_share_is_of_the_prunable_parameters_rounded_down():
    [share] = Plan.of(options(parameters_to_keep="40%")).choice.shares
    assert share.keep == int(0.4 * PRUNABLE)
    fixed = 8 * HEAD_OF_ENCODER
    [share] = Plan.of(
        options(parameters_to_keep="50%", prunable="decoder.self,decoder.cross,encoder.ffn")
    ).choice.shares
    decoder = GROUP * 2  # of its feed-forward block, which is not prunable
    assert share.keep - fixed - decoder == int(0.5 * (PRUNABLE - fixed - decoder))


@pytest.mark.parametrize(
    "share, prunable, number", [("32.3%", 1000, 323), ("4.1%", 988_000, 40_508), ("0.05%", 1000, 0)]
)
def test_a_share_with_a_point_is_exact(share, prunable, number):
    assert parse_parameters(share, prunable) == number


@pytest.mark.parametrize(
    "options_of, others",
    [
        ({"pruning_method": "dsp"}, "--ffn-to-keep or --layers-to-keep or --parameters-to-keep"),
        ({"pruning_method": "ste"}, "--ffn-to-keep or --layers-to-keep"),
    ],
)
def test_without_a_budget_all_of_them_are_named(options_of, others):
    [line] = model_problems(options(**options_of))
    assert line.startswith("--heads-to-keep is missing") and f"another budget, {others};" in line


@pytest.mark.parametrize("method", ["l0", "layerwise-l0"])
@pytest.mark.parametrize("prunable, closing", [(None, HEADS + GROUPS), ("encoder.self,decoder.ffn", 8 + 2)])
def test_a_price_alone_closes_heads_and_hidden_units(method, prunable, closing):
    gates = Plan.of(options(pruning_method=method, l0_penalty=0.5, pruning_lr=1.0, prunable=prunable)).gates()
    price = float(gates.penalty().detach())
    gates.set_logits(gates.logits.detach() - 50)
    assert price > 0.4 * closing and float(gates.penalty().detach()) == pytest.approx(0, abs=1e-3)
    assert int((~gates.mask()).sum()) == closing


def test_heads_and_hidden_units_have_budgets_of_their_own():
    choice = Plan.of(options(heads_to_keep="5", ffn_to_keep="24")).choice
    mask = choice.mask(torch.arange(HEADS + GROUPS).double())
    assert int(mask[:HEADS].sum()) == 5 and int(mask[HEADS:].sum()) == 3
    choice = Plan.of(options(ffn_to_keep="encoder.ffn=16,decoder.ffn=8")).choice
    mask = choice.mask(torch.arange(HEADS + GROUPS).double())
    assert mask[:HEADS].all() and int(mask[HEADS : HEADS + 8].sum()) == 2 and int(mask[HEADS + 8 :].sum()) == 1


def test_hidden_units_get_what_the_heads_leave():
    kinds = "encoder.self=3,decoder.self=1,decoder.cross=1"
    heads = 3 * HEAD_OF_ENCODER + 2 * HEAD_OF_DECODER
    choice = Plan.of(options(heads_to_keep=kinds, parameters_to_keep=str(heads + 2 * GROUP + 7))).choice
    mask = choice.mask(torch.arange(HEADS + GROUPS).double())
    assert int(mask[:HEADS].sum()) == 5 and int(mask[HEADS:].sum()) == 2


def test_floors_and_caps_hold_in_a_budget_of_parameters():
    given = {"min_heads_per_block": 1, "max_ffn_per_block": 8}
    choice = Plan.of(options(parameters_to_keep="70%", **given)).choice
    mask = choice.mask(torch.cat([torch.zeros(HEADS), torch.ones(GROUPS)]).double())
    pieces = mask.split([4, 4, 2, 2, 4, 4, 2])
    assert all(int(piece.sum()) >= 1 for piece in pieces[:4]) and all(int(piece.sum()) <= 1 for piece in pieces[4:])


@pytest.mark.parametrize(
    "given, words",
    [
        ({"ffn_to_keep": "12"}, ["--ffn-to-keep 12", "multiple of 8", "8 or 16"]),
        ({"ffn_to_keep": "88"}, ["--ffn-to-keep 88", "0 to 80", "hidden units"]),
        ({"ffn_to_keep": "encoder.ffn=8"}, ["--ffn-to-keep", "encoder.ffn=64,decoder.ffn=16"]),
        ({"ffn_to_keep": "8", "ffn_group": 5}, ["--ffn-group 5", "must divide", "32"]),
        ({"parameters_to_keep": "101%"}, ["--parameters-to-keep 101%", str(PRUNABLE), "40%"]),
        ({"parameters_to_keep": "-3"}, ["--parameters-to-keep -3"]),
        ({"parameters_to_keep": "many"}, ["--parameters-to-keep many"]),
        ({"parameters_to_keep": "10%", "heads_to_keep": "12"}, ["--parameters-to-keep 10%", "--heads-to-keep 12"]),
        ({"parameters_to_keep": "50%", "heads_to_keep": "5"}, ["--heads-to-keep", "268 or 536", "each kind"]),
        ({"parameters_to_keep": "50%", "heads_to_keep": "5", "ffn_to_keep": "8"}, ["leave out one of the three"]),
        ({"parameters_to_keep": "1%", "min_heads_per_block": 1}, ["--parameters-to-keep", "--min-heads-per-block"]),
        ({"ffn_to_keep": "16", "min_ffn_per_block": 8}, ["--ffn-to-keep 16", "--min-ffn-per-block 8", "24"]),
        ({"ffn_to_keep": "64", "max_ffn_per_block": 8}, ["--ffn-to-keep 64", "--max-ffn-per-block 8", "24"]),
        ({"ffn_to_keep": "8", "heads_to_keep_range": "2:5"}, ["--ffn-to-keep 8", "--heads-to-keep-range"]),
        ({"parameters_to_keep": "50%", "pruning_method": "ste"}, ["--pruning-method ste", "unequal cost", "dsp"]),
        ({"parameters_to_keep": "50%", "pruning_method": "dsp-published"}, ["dsp-published", "unequal cost"]),
        ({"ffn_to_keep": "8", "scale_fc": True}, ["--scale-fc"]),
    ],
)
def test_each_refusal_names_the_option_the_value_and_the_remedy(given, words):
    found = model_problems(options(**given))
    assert found and all("\n" not in line for line in found)
    assert all(word in found[0] for word in words), found


def test_both_budgets_are_refused_at_once():
    found = model_problems(options(heads_to_keep="13", ffn_to_keep="88"))
    assert len(found) == 2


def test_a_model_without_gates_on_hidden_units_cannot_choose_them():
    plan = Plan.of(Namespace(**{**SHAPE, "ffn_group": None}, pruning_method="uniform", heads_to_keep="5"))
    with pytest.raises(BadInput, match="--ffn-to-keep 8: the hidden units of this checkpoint have no gates"):
        plan.keeping(ffn_to_keep="8")


def test_a_uniform_choice_keeps_like_shares_of_blocks_whatever_their_number_of_units():
    shape = {"encoder_ffn_embed_dim": 128, "decoder_ffn_embed_dim": 128}  # 16 groups beside the 4 heads of the encoder
    mask = Plan.of(options(parameters_to_keep="50%", **shape)).gates().mask()
    pieces = mask.split([4, 4, 2, 2, 16, 16, 16])
    assert [int(piece.sum()) for piece in pieces[:2]] == [2, 2]
    assert all(5 <= int(piece.sum()) <= 9 for piece in pieces[4:])


NEW_BUDGETS = {
    "parameters replace all": (
        {"heads_to_keep": "5", "ffn_to_keep": "24"},
        {"parameters_to_keep": "30%"},
        {"parameters_to_keep": "30%"},
    ),
    "numbers of everything replace parameters": (
        {"parameters_to_keep": "60%"},
        {"heads_to_keep": "5", "ffn_to_keep": "24"},
        {"heads_to_keep": "5", "ffn_to_keep": "24"},
    ),
    "heads leave parameters as they are": (
        {"parameters_to_keep": "60%"},
        {"heads_to_keep": "encoder.self=3,decoder.self=1,decoder.cross=1"},
        {"parameters_to_keep": "60%", "heads_to_keep": "encoder.self=3,decoder.self=1,decoder.cross=1"},
    ),
    "nothing changes nothing": ({"parameters_to_keep": "60%"}, {}, {"parameters_to_keep": "60%"}),
}


@pytest.mark.parametrize("old, new, expected", NEW_BUDGETS.values(), ids=NEW_BUDGETS.keys())
def test_new_budgets_of_a_trained_model(old, new, expected):
    logits = torch.arange(HEADS + GROUPS).double().flip(0)
    chosen = Plan.of(options(**old)).keeping(**new)
    assert torch.equal(chosen.mask(logits), Plan.of(options(**expected)).choice.mask(logits))


def test_blocks_of_an_export_are_padded_to_heads_not_to_groups():
    assert padded_heads(inventory_of(options(encoder_ffn_embed_dim=64))) == {"encoder": 4, "decoder": 2}
