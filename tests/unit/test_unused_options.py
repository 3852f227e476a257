"""Options that a training would read and not use are refused, each in one line."""

from argparse import Namespace

import pytest

from dsp_fairseq.training.unused_options import unused_options

MOVEMENT = {"pruning_method": "movement", "weights_to_keep": "30%"}
LAYERS = {"pruning_method": "dsp", "layers_to_keep": "encoder=1,decoder=1"}


@pytest.mark.parametrize(
    "options, words",
    [
        ({**MOVEMENT, "output_scaling": "on"}, "--output-scaling on: --pruning-method movement takes out only heads"),
        ({**MOVEMENT, "penalty_weights": "encoder.ffn=2"}, "--penalty-weights encoder.ffn=2: there is no price"),
        ({**LAYERS, "prunable": "encoder.self"}, "--prunable encoder.self: --layers-to-keep keeps or removes whole"),
        ({**LAYERS, "min_heads_per_block": 1}, "--min-heads-per-block 1: --layers-to-keep keeps or removes whole"),
        ({**LAYERS, "min_ffn_per_block": 8}, "--min-ffn-per-block 8: --layers-to-keep keeps or removes whole"),
    ],
)
def test_one_line(options, words):
    [line] = unused_options(Namespace(**options))
    assert line.startswith(words) and "leave it out" in line


@pytest.mark.parametrize(
    "options",
    [
        MOVEMENT,
        {**MOVEMENT, "output_scaling": "off"},
        {**MOVEMENT, "penalty_weights": "encoder.ffn=2", "movement_penalty": 1.0},
        {"pruning_method": "movement", "penalty_weights": "encoder.ffn=2"},  # a threshold has a price by default
        LAYERS,
        {**LAYERS, "prunable": "encoder.self", "heads_to_keep": 3},
        {**LAYERS, "min_ffn_per_block": 8, "parameters_to_keep": "40%"},
        {"pruning_method": "none", "prunable": "encoder.self"},
    ],
)
def test_what_has_an_effect(options):
    assert unused_options(Namespace(**options)) == []
