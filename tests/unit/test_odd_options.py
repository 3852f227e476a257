"""Whatever the options of pruning say: they build gates that train and decode, or are refused in lines."""

import math
from argparse import Namespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dsp_fairseq.gates.methods import METHODS, SEARCH_SHARE
from dsp_fairseq.gates.scalars import scalars
from dsp_fairseq.options.plan import Plan
from dsp_fairseq.options.problems import model_problems

SHAPE = {
    "arch": "gated_transformer",
    "encoder_layers": 2,
    "encoder_attention_heads": 3,
    "encoder_embed_dim": 12,
    "decoder_layers": 2,
    "decoder_attention_heads": 4,
    "decoder_embed_dim": 12,
}
UPDATES = 20
NUMBERS = [0.0, -1.0, 1e-320, 1e-8, 0.3, 2.0, 1e8, 1e308, -1e308, math.inf, math.nan, 1, "", "x", True]
COUNTS = [0, 1, 6, 7, UPDATES, UPDATES + 1, -1, 10**20, 1.5, "", "7", True]
HEADS = [0, 1, 2, 3, 4, -1, 10**20, 1.5, "", "1", True]
ODD = {
    "prunable": [
        *("", ",", "encoder.self", "encoder.self,", "encoder.self,encoder.self", "decoder.cross,encoder.self"),
        *(3, ["encoder.self"]),
    ],
    "frozen": ["", "none", "encoder", 1],
    "heads_to_keep": ["", 0, 7, 22, 23, "7", " 7", "+7", "٣", "=", "encoder.self=1", 3.0, True, "9" * 30, [3],
                      "encoder.self=1,decoder.self=2,decoder.cross=3", "encoder.self=1,decoder.self=1,decoder.cross="],
    "heads_to_keep_range": ["", ":", "3:", ":3", "0:0", "3:2", "0:22", "2:9", "1:23", "1:" + "9" * 20, 384],
    "min_heads_per_block": HEADS,
    "max_heads_per_block": HEADS,
    **dict.fromkeys(("l0_penalty", "initial_log_odds", "pruning_lr", "uniform_prior"), NUMBERS),
    **dict.fromkeys(("initial_temperature", "final_temperature"), NUMBERS),
    **dict.fromkeys(("search_updates", "search_warmup_updates", "cooldown_updates"), COUNTS),
}  # fmt: skip


def works_or_is_refused(**options):
    args = Namespace(**SHAPE, max_update=UPDATES, **options)
    problems = model_problems(args)
    assert all(line.startswith("--") and "\n" not in line for line in problems), problems
    if not problems:
        trains(args)
    return problems


def trains(args):
    plan = Plan.of(args)
    gates = plan.gates()
    for update in (0, 1, 5, 6, 19, UPDATES):
        if update < UPDATES:
            gates.plan_search(update, UPDATES - update, SEARCH_SHARE[plan.mode], UPDATES)
        gates.set_num_updates(update)
        gates.begin_update()
        drawn = gates.mask_of_update() if gates.settled else gates.of_update(torch.device("cpu"))
        assert all(math.isfinite(value) for value in scalars(gates).values())
        if drawn is not None and drawn.requires_grad:
            assert drawn.isfinite().all()
            price = gates.penalty()
            (drawn * torch.linspace(-1, 1, len(drawn))).sum().add(0.0 if price is None else price).backward()
            gates.add_sample_size(1)
            gates.step()
        assert gates.logits.isfinite().all()
    assert plan.choice.accepts(gates.mask())
    if not plan.choice.free_count and getattr(args, "parameters_to_keep", None) is None:
        assert plan.choice.holders or gates.mask().sum() == sum(share.keep for share in plan.choice.shares)


SCORED = {"pruning_method": "movement", "pruning_mode": "joint", "block_rows": 2, "block_cols": 3}
SCORED |= {"encoder_ffn_embed_dim": 8, "decoder_ffn_embed_dim": 6}
SIDES = [*COUNTS, 2, 3, 4, 12, 5]
ODD_OF_WEIGHTS = {
    "weights_to_keep": [
        "",
        "0%",
        "1e2%",
        "100%",
        "99.999999999%",
        "30",
        30,
        0.3,
        "-3%",
        " 30%",
        "٣٠%",
        "%",
        "0.000001%",
    ],
    "block_rows": SIDES,
    "block_cols": SIDES,
    "block_shape": ["", "head", "Head", 3, ["block"]],
    "penalty_weights": [
        *("", "=", "encoder.ffn", "encoder.ffn=", "encoder.ffn=-1", "encoder.ffn=1e3", "encoder.ffn=nan", "ffn=1"),
        *("encoder.ffn=0", "encoder.ffn=2,encoder.ffn=2", "encoder.ffn=2,", "decoder.attention=0,encoder.ffn=9"),
        *(3, ["encoder.ffn=1"]),
    ],
    **dict.fromkeys(("final_threshold", "movement_penalty", "pruning_lr"), NUMBERS),
    **dict.fromkeys(("pruning_start", "pruning_end"), NUMBERS),
    **{name: ODD[name] for name in ("prunable", "frozen", "heads_to_keep", "max_heads_per_block", "search_updates")},
}


def scores_or_is_refused(**options):
    """Movement trains on: scores stay finite, and a share is never exceeded."""
    args = Namespace(**SHAPE, max_update=UPDATES, **options)
    problems = model_problems(args)
    assert all(line.startswith("--") and "\n" not in line for line in problems), problems
    if problems:
        return problems
    gates = Plan.of(args).gates()
    for update in (0, 1, 5, 6, 19, UPDATES):
        if update < UPDATES:
            gates.plan_search(update, UPDATES - update, 1.0, UPDATES)
        gates.set_num_updates(update)
        gates.begin_update()
        price = gates.penalty()
        assert all(math.isfinite(value) for value in scalars(gates).values()) and (price is None or price.isfinite())
        slopes = torch.linspace(-1, 1, gates.layout.scores)
        for (matrix, mask, scores), slope in zip(gates.masked_matrices(), slopes, strict=False):
            assert mask.shape == matrix.grid and bool(((mask == 0) | (mask == 1)).all())
            (scores * slope).sum().backward()
        gates.add_sample_size(1)
        gates.step()
        assert gates.scores.isfinite().all()
    if gates.settings.share is not None:
        assert gates.layout.weights_in(gates.weight_mask()) <= gates.settings.share * gates.layout.weights + 1e-6
    return problems


@pytest.mark.parametrize("way", [{"weights_to_keep": "40%"}, {"pruning_lr": 1.0}])
@pytest.mark.parametrize("option", ODD_OF_WEIGHTS)
def test_one_odd_value_of_movement(option, way):
    for value in ODD_OF_WEIGHTS[option]:
        scores_or_is_refused(**{**SCORED, **way, option: value})


@settings(max_examples=50)
@given(st.data())
def test_several_values_of_movement(data):
    options = {**SCORED, **data.draw(st.sampled_from([{"weights_to_keep": "40%"}, {"pruning_lr": 1.0}]))}
    for name in data.draw(st.lists(st.sampled_from(list(ODD_OF_WEIGHTS)), min_size=2, max_size=4, unique=True)):
        options[name] = data.draw(st.sampled_from(ODD_OF_WEIGHTS[name]))
    scores_or_is_refused(**options)


def test_movement_works_at_all():
    """The two ways of which the tests above change one option are right themselves."""
    assert scores_or_is_refused(**SCORED, weights_to_keep="40%") == scores_or_is_refused(**SCORED, pruning_lr=1.0) == []


WITHIN_A_BUDGET = "l0 within a budget"
WAYS = [*(name for name, cls in METHODS.items() if not cls.scores_weights), WITHIN_A_BUDGET]


def base(way, mode):
    needed = {"l0": {"l0_penalty": 0.1}, "none": {}}.get(way, {"heads_to_keep": 7})
    return dict(pruning_method="l0" if way == WITHIN_A_BUDGET else way, pruning_mode=mode, **needed)


@pytest.mark.parametrize("mode", SEARCH_SHARE)
@pytest.mark.parametrize("method", WAYS)
@pytest.mark.parametrize("option", ODD)
def test_one_odd_value(option, method, mode):
    for value in ODD[option]:
        works_or_is_refused(**{**base(method, mode), option: value})


@settings(max_examples=300)
@given(st.data())
def test_several_values(data):
    options = base(data.draw(st.sampled_from(WAYS)), data.draw(st.sampled_from(list(SEARCH_SHARE))))
    for name in data.draw(st.lists(st.sampled_from(list(ODD)), min_size=2, max_size=4, unique=True)):
        options[name] = data.draw(st.sampled_from(ODD[name]))
    works_or_is_refused(**options)


UNITS = {"encoder_ffn_embed_dim": 8, "decoder_ffn_embed_dim": 6, "ffn_group": 2}  # groups: 2 x 4 and 2 x 3
NUMBERS_OF_UNITS = [0, 2, 28, 29, 7, -2, 10**20, 1.5, "", "4", True, "encoder.ffn=4", "encoder.ffn=4,decoder.ffn=6"]
ODD_OF_UNITS = {
    "ffn_to_keep": [*NUMBERS_OF_UNITS, "=", "encoder.self=2", "decoder.ffn=99", [4]],
    "layers_to_keep": ["", 1, "2", "encoder=1", "decoder=0", "encoder=2,decoder=2", "encoder=3", "encoder=-1",
                       "decoder=", "encoder=1,encoder=1", "middle=1", ["encoder=1"]],
    "parameters_to_keep": ["", 0, "0%", "100%", "40%", "101%", "33.3%", "1e2%", " 40%", "٤٠%", 700, "700",
                           10**20, 0.4, "%"],
    "ffn_group": [0, 1, 2, 3, 64, -2, 1.5, "", "2", True],
    "min_ffn_per_block": [0, 1, 2, 8, 9, -2, 10**20, 1.5, "", "2", True],
    "max_ffn_per_block": [0, 1, 2, 8, 9, -2, 10**20, 1.5, "", "2", True],
    "prunable": ["encoder.ffn", "decoder.self,decoder.ffn", "encoder.ffn,", "ffn"],
}  # fmt: skip
BUDGETED = [{"parameters_to_keep": "40%"}, {"ffn_to_keep": 12}, {"layers_to_keep": "encoder=2,decoder=1"}, {}]


@pytest.mark.parametrize("method", ["dsp", "l0", "ste"])
@pytest.mark.parametrize("option", ODD_OF_UNITS)
def test_one_odd_value_of_a_budget(option, method):
    for budget in BUDGETED:
        for value in ODD_OF_UNITS[option]:
            works_or_is_refused(**{**UNITS, "pruning_method": method, "pruning_mode": "joint", **budget, option: value})


@settings(max_examples=150)
@given(st.data())
def test_several_values_of_budgets(data):
    odd = {**ODD, **ODD_OF_UNITS}
    options = {**UNITS, **base(data.draw(st.sampled_from(WAYS)), data.draw(st.sampled_from(list(SEARCH_SHARE))))}
    options |= data.draw(st.sampled_from(BUDGETED))
    for name in data.draw(st.lists(st.sampled_from(list(odd)), min_size=1, max_size=4, unique=True)):
        options[name] = data.draw(st.sampled_from(odd[name]))
    works_or_is_refused(**options)


def test_budgets_work_at_all():
    for budget in BUDGETED[:-1]:
        assert works_or_is_refused(**UNITS, pruning_method="dsp", **budget) == []


@pytest.mark.parametrize("option", ["pruning_method", "pruning_mode", *ODD])
def test_an_empty_value_is_refused_by_name(option):
    options = {**base("dsp", "joint"), option: ""}
    assert f"--{option.replace('_', '-')} ''" in works_or_is_refused(**options)[0]


@pytest.mark.parametrize(
    "option, value", [("pruning_method", 0), ("pruning_method", ["dsp"]), ("pruning_mode", "Joint")]
)
def test_what_is_no_method_or_mode(option, value):
    [line] = works_or_is_refused(**{**base("dsp", "joint"), option: value})
    assert str(value) in line


def test_both_a_number_of_heads_and_a_range_are_looked_at():
    [line] = works_or_is_refused(pruning_method="ste", heads_to_keep=5, heads_to_keep_range="2:99")
    assert line.startswith("--heads-to-keep-range 2:99")


def test_a_warm_up_may_take_most_of_a_pipelined_training():
    options = {"pruning_method": "dsp", "heads_to_keep": 5, "search_warmup_updates": UPDATES - 1}
    assert works_or_is_refused(pruning_mode="pipelined", **options) == []
    [line] = works_or_is_refused(**options)
    assert "must be below --search-updates (6)" in line
