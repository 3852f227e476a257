"""Options: defaults by method, and every problem told at once."""

import re
from argparse import Namespace
from dataclasses import fields

import pytest

from dsp_fairseq.config import CommonOptions, PruningConfig, with_defaults
from dsp_fairseq.errors import BadInput, refuse
from dsp_fairseq.families import inventory_of
from dsp_fairseq.families.transformer import words as translation
from dsp_fairseq.families.transformer_lm import words as language_models
from dsp_fairseq.gates.methods import METHODS
from dsp_fairseq.gates.methods.registry import help_of, method_options
from dsp_fairseq.options.budget import parse_count
from dsp_fairseq.options.plan import Plan
from dsp_fairseq.options.problems import model_problems

SHAPE = {
    "arch": "gated_transformer", "encoder_layers": 2, "encoder_attention_heads": 4, "encoder_embed_dim": 16,
    "decoder_layers": 1, "decoder_attention_heads": 2, "decoder_embed_dim": 16,
}  # fmt: skip
FFN_SHAPE = {"encoder_ffn_embed_dim": 16, "decoder_ffn_embed_dim": 16}


def problems(**options):
    return model_problems(Namespace(**SHAPE, **options))


def test_h_counts_all_three_kinds():
    assert inventory_of(Namespace(**SHAPE)).units == 2 * 4 + 2 * 1 * 2


@pytest.mark.parametrize("method", [name for name, cls in METHODS.items() if not cls.scores_weights])
def test_defaults_are_fine(method):
    penalty = {"l0_penalty": 0.1} if method == "l0" else {}
    assert problems(pruning_method=method, heads_to_keep=12, **penalty) == []


@pytest.mark.parametrize("keep", [0, 12])
def test_both_ends_are_allowed(keep):
    assert problems(heads_to_keep=keep) == []


@pytest.mark.parametrize("text", ["9" * 5000, "encoder.self=" + "9" * 5000 + ",decoder.self=1,decoder.cross=1"])
def test_a_number_that_python_does_not_read(text):
    with pytest.raises(BadInput, match="^--heads-to-keep .*: must be a number") as raised:
        parse_count("heads", text, inventory_of(Namespace(**SHAPE)))
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize(
    "options, words",
    [
        ({}, ["--heads-to-keep", "0 to 12", "none"]),
        ({"heads_to_keep": -1}, ["-1", "0 to 12"]),
        ({"heads_to_keep": 13}, ["13", "0 to 12"]),
        ({"pruning_method": "best", "heads_to_keep": 1}, ["best", *METHODS]),
        ({"heads_to_keep": 1, "initial_temperature": 0.0}, ["--initial-temperature 0.0", "1e-30 to"]),
        ({"heads_to_keep": 1, "final_temperature": float("nan")}, ["--final-temperature nan"]),
        ({"heads_to_keep": 1, "initial_temperature": 0.1}, ["--final-temperature 0.2 (the default)", "0.1"]),
        ({"heads_to_keep": 1, "cooldown_updates": -1}, ["--cooldown-updates -1", "0 to 2147483647"]),
        ({"heads_to_keep": 1, "uniform_prior": float("inf")}, ["--uniform-prior inf", "0 to 1e+06"]),
        (
            {"pruning_method": "l0", "heads_to_keep": 1, "l0_penalty": 0.1, "initial_log_odds": float("nan")},
            ["--initial-log-odds nan", "-1e+06 to 1e+06"],
        ),
        ({"heads_to_keep": 1, "search_updates": 0}, ["--search-updates 0", "1 to 2147483647"]),
        ({"heads_to_keep": 1, "search_updates": 10**20}, ["--search-updates 1000", "must be a whole number"]),
        ({"heads_to_keep": 1, "cooldown_updates": 2**31}, ["--cooldown-updates 2147483648", "0 to 2147483647"]),
        ({"heads_to_keep": 10**20}, ["--heads-to-keep 1000", "must be"]),
        ({"heads_to_keep": "9" * 5000}, ["--heads-to-keep '999", "at most 4096"]),
        ({"heads_to_keep_range": "1:" + "9" * 5000}, ["--heads-to-keep-range '1:9", "at most 4096"]),
        ({"heads_to_keep": 1, "search_updates": 50, "max_update": 40}, ["--search-updates 50", "--max-update (40)"]),
        ({"heads_to_keep": 1, "search_warmup_updates": 9, "search_updates": 9}, ["--search-warmup-updates 9"]),
        ({"heads_to_keep": 1, "search_warmup_updates": 90, "max_update": 100}, ["--search-warmup-updates 90"]),
        ({"heads_to_keep": 1, "pruning_lr": -0.1}, ["--pruning-lr -0.1"]),
        ({"heads_to_keep": 1, "pruning_method": "ste", "final_temperature": 0.1}, ["--final-temperature", "ste"]),
        (
            {"heads_to_keep": 5, "max_heads_per_block": 1},
            ["--heads-to-keep 5", "room for 4 in 4 blocks", "to 2 or more"],
        ),
        ({"heads_to_keep": 3, "min_heads_per_block": 1}, ["--heads-to-keep 3", "ask for 4 in 4 blocks", "at least 4"]),
        (
            {"heads_to_keep": 6, "min_heads_per_block": 2, "max_heads_per_block": 1},
            ["--min-heads-per-block 2", "--max-heads-per-block 1"],
        ),
        (
            {"heads_to_keep": "some"},
            ["--heads-to-keep some", "0 to 12", "encoder.self=8,decoder.self=2,decoder.cross=2"],
        ),
        ({"heads_to_keep": "encoder.self=3"}, ["--heads-to-keep encoder.self=3", "decoder.cross=2"]),
        (
            {"heads_to_keep": "encoder.self=9,decoder.self=2,decoder.cross=2"},
            ["--heads-to-keep encoder.self=9", "0 to 8"],
        ),
        (
            {"heads_to_keep": "encoder.self=1,decoder.self=2,decoder.cross=2", "min_heads_per_block": 1},
            ["--heads-to-keep 1", "ask for 2 in 2 blocks"],
        ),
        ({"heads_to_keep": 1, "max_heads_per_block": -1}, ["--max-heads-per-block -1", "0 or more"]),
        ({"heads_to_keep": 1, "pruning_mode": "both"}, ["--pruning-mode both", "joint or pipelined"]),
        ({"heads_to_keep": 1, "pruning_method": "uniform", "pruning_mode": "pipelined"}, ["no choice to learn"]),
        ({"heads_to_keep": 1, "frozen": "all"}, ["--frozen all", "encoder or decoder"]),
        ({"heads_to_keep": 1, "frozen": "encoder", "pruning_mode": "pipelined"}, ["--frozen encoder", "leave it out"]),
        ({"heads_to_keep": 9, "prunable": "encoder"}, ["--prunable encoder", "decoder.cross"]),
        ({"heads_to_keep": 3, "prunable": "encoder.self"}, ["--heads-to-keep 3", "--prunable", "keep at least 4"]),
        ({"heads_to_keep_range": "1:3", "ffn_group": 8, **FFN_SHAPE}, ["--ffn-group 8", "heads only", "leave one"]),
        ({"heads_to_keep_range": "3"}, ["--heads-to-keep-range 3", "LO:HI"]),
        ({"heads_to_keep_range": "3:13"}, ["--heads-to-keep-range 3:13", "12"]),
        ({"heads_to_keep_range": "1:9", "min_heads_per_block": 1}, ["--heads-to-keep 1", "ask for 4"]),
        ({"pruning_method": "l0"}, ["--l0-penalty is missing"]),
        ({"pruning_method": "l0", "l0_penalty": -1.0}, ["--l0-penalty -1.0"]),
        ({"pruning_method": "l0", "l0_penalty": 0.1, "max_heads_per_block": 1}, ["--max-heads-per-block 1", "penalty"]),
        ({"pruning_method": "l0", "l0_penalty": 0.1, "heads_to_keep_range": "1:3"}, ["no K to draw"]),
        ({"heads_to_keep": 1, "l0_penalty": 0.1}, ["--l0-penalty 0.1", "l0"]),
        ({"pruning_method": "l0", "max_update": 9}, ["--l0-penalty is missing", "or a budget such as --heads-to-keep"]),
        (
            {"pruning_method": "l0", "heads_to_keep": 1, "l0_penalty": 0.1, "search_updates": 3},
            ["--search-updates 3", "--l0-penalty"],
        ),
        (
            {"pruning_method": "l0", "heads_to_keep": 1, "search_updates": 50, "max_update": 40},
            ["--search-updates 50", "--max-update (40)"],
        ),
        ({"pruning_method": "l0", "heads_to_keep": 13}, ["--heads-to-keep 13", "0 to 12"]),
        ({"heads_to_keep": 1, "quant_noise_pq": 0.1}, ["--quant-noise-pq 0.1"]),
        ({"heads_to_keep": 1, "no_cross_attention": True}, ["--no-cross-attention"]),
        ({"heads_to_keep": 1, "encoder_layers_to_keep": "0"}, ["--encoder-layers-to-keep 0"]),
    ],
)
def test_each_problem_is_one_line_with_option_value_and_remedy(options, words):
    [line] = problems(**options)
    assert "\n" not in line
    assert all(word in line for word in words), line


def test_heads_to_keep_of_each_kind_in_any_order():
    options = Namespace(**SHAPE, heads_to_keep="decoder.cross=1,encoder.self=5,decoder.self=0")
    choice = Plan.of(options).choice
    assert [share.keep for share in choice.shares] == [5, 0, 1]
    assert [share.units for share in choice.shares] == [8, 2, 2]


def test_all_problems_come_at_once():
    found = problems(heads_to_keep=99, cooldown_updates=-1, initial_temperature=-1.0, quant_noise_pq=1.0)
    assert len(found) == 4
    with pytest.raises(BadInput) as caught:
        refuse(found)
    assert str(caught.value).count("\n") == 3
    refuse([])


def test_defaults_depend_on_the_method():
    def options(method, **given):
        return with_defaults(Namespace(pruning_method=method, **given))

    rate = {method: options(method)["pruning_lr"] for method in ("dsp-published", "ste", "uniform")}
    assert rate == {"dsp-published": 0.2, "ste": 0.2, "uniform": None}
    names = ("pruning_lr", "uniform_prior", "search_warmup_updates")
    assert [options("dsp")[name] for name in names] == [0.05, 4.0, None]
    assert [options("dsp", pruning_mode="pipelined")[name] for name in names] == [0.2, 0.0, 0]
    assert options("dsp", pruning_mode="pipelined", uniform_prior=1.0)["uniform_prior"] == 1.0
    assert options("ste", pruning_lr=0.7)["pruning_lr"] == 0.7
    assert Plan.of(Namespace(**SHAPE, pruning_method="uniform", heads_to_keep=3)).rate == 0.0


def test_a_plan_of_a_range_decodes_with_its_highest_k_or_the_one_that_is_given():
    plan = Plan.of(Namespace(**SHAPE, heads_to_keep_range="2:9"))
    assert plan.keep_range == (2, 9)
    assert [share.keep for share in plan.choice.shares] == [9]
    assert [share.keep for share in plan.keeping("4").shares] == [4]
    assert plan.keeping(None) == plan.choice
    given = Plan.of(Namespace(**SHAPE, heads_to_keep_range="2:9", heads_to_keep="5"))
    assert given.keep_range == (2, 9) and [share.keep for share in given.choice.shares] == [5]


@pytest.mark.parametrize("words", [translation.HELP, language_models.HELP], ids=["translation", "language models"])
def test_a_family_has_words_for_every_gap_in_the_help(words):
    texts = [*map(help_of, method_options().values()), *(f.metadata.get("help", "") for f in fields(CommonOptions))]
    gaps = {gap for text in texts for gap in re.findall(r"\{(.+?)\}", text)} - {"methods", "methods that scale"}
    assert gaps == words.keys()
    filled = {f.name: f.metadata.get("help", "") for f in fields(PruningConfig.complete(words))}
    assert not any("{" in text for text in filled.values())
    assert words["group weights"] in filled["penalty_weights"] and words["parts"] in filled["frozen"]
