"""Whole layers and blocks of weights of a Transformer language model: what is closed is gone, and the rest is stock."""

from argparse import Namespace

import pytest
import torch
from fairseq.models.transformer_lm import TransformerLanguageModel
from tiny_language_models import (
    ALL_ATTENTION,
    SIZES,
    TRANSFORMER,
    VARIANTS,
    Task,
    batch,
    build,
    chances,
    checkpoint_of,
    options,
    shaken,
    stock,
)
from tiny_models import near

from dsp_fairseq.checkpoints.building import build_model, build_stock_model
from dsp_fairseq.checkpoints.prune import prune
from dsp_fairseq.checkpoints.reading import kept_units, load
from dsp_fairseq.families import inventory_of
from dsp_fairseq.families.transformer_lm.options import with_stock_defaults
from dsp_fairseq.options.problems import model_problems

LAYERS = 3
SETS = [[0], [1], [0, 2]]  # layers that are kept
HEADS = LAYERS * SIZES["decoder_attention_heads"]


def gated(variant, kept, **more):
    """A model of three layers that keeps these, its options, and the same model without the other layers by fairseq."""
    given = {"pruning_method": "uniform", "decoder_layers": LAYERS, "layers_to_keep": f"decoder={len(kept)}", **more}
    args = options(TRANSFORMER, variant, **given)
    model = build(TRANSFORMER, variant, **given)
    logits = model.gates.logits.detach().clone()
    logits[-LAYERS:] = torch.tensor([float(layer in kept) for layer in range(LAYERS)])
    model.gates.set_logits(logits)
    return model.train().eval(), args, _by_hand(model, args, kept)


def _by_hand(model, args, kept):
    small = TransformerLanguageModel.build_model(
        with_stock_defaults(Namespace(**{**vars(args), "decoder_layers": len(kept), "layers_to_keep": None})), Task()
    )
    weights = {}
    for name, tensor in model.state_dict().items():
        before, of_layers, rest = name.partition("decoder.layers.")
        number, _, own = rest.partition(".")
        if not of_layers and not before.startswith("gates."):
            weights[name] = tensor
        elif of_layers and int(number) in kept:
            weights[f"decoder.layers.{kept.index(int(number))}.{own}"] = tensor
    small.load_state_dict(weights)
    return small.eval()


@pytest.mark.parametrize("kept", SETS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_closed_layer_is_gone(variant, kept):
    model, _, by_hand = gated(variant, kept)
    expected = chances(by_hand)
    assert near(chances(model), expected, 1e-5)
    assert not near(expected, chances(gated(variant, [2])[2]), 1e-3)  # which layers these are matters
    model.mask_only()
    assert near(chances(model), expected, 1e-5)
    model.remove_pruned_units()
    assert len(model.decoder.layers) == model.decoder.num_layers == len(kept) and near(chances(model), expected, 1e-5)


@pytest.mark.parametrize("kept", SETS)
def test_word_by_word_is_the_whole_text_without_closed_layers(kept):
    model, _, by_hand = gated("norms before blocks", kept)
    words = batch((19, 19))["src_tokens"]
    expected = chances(by_hand, {"src_tokens": words})
    model.make_generation_fast_()
    state, found = {}, []
    with torch.no_grad():
        for length in range(1, words.size(1) + 1):
            output = model.decoder(words[:, :length], incremental_state=state)
            found.append(model.get_normalized_probs(output, log_probs=True))
    assert near(torch.cat(found, dim=1), expected, 1e-5)


@pytest.mark.parametrize("variant", ["plain", "norms before blocks", "adaptive"])
def test_a_pruned_checkpoint_has_fewer_layers_and_a_dense_one_is_stock(tmp_path, variant):
    model, args, by_hand = gated(variant, [0, 2])
    path, small, dense = (str(tmp_path / f"{name}.pt") for name in ("trained", "small", "dense"))
    torch.save(checkpoint_of(model, args), path)
    assert "layers: 3 => 2 of 3" in str(prune(path, small))
    prune(path, dense, dense=True)
    state = load(dense)
    own = state["cfg"]["model"]
    assert (own.decoder_layers, own.arch, hasattr(own, "layers_to_keep")) == (2, "transformer_lm", False)
    assert near(chances(build_stock_model(state)), chances(by_hand), 1e-5)
    assert near(chances(build_model(load(small))), chances(by_hand), 1e-5)
    kept = kept_units(small)
    assert kept.inventory.structures == ("heads",) and kept.inventory.units == 2 * SIZES["decoder_attention_heads"]


def test_heads_and_hidden_units_are_counted_in_the_layers_that_stay(tmp_path):
    given = {"heads_to_keep": "4", "ffn_to_keep": "24", "ffn_group": 8}
    model, args, _ = gated("plain", [0, 2], **given)
    path, small = str(tmp_path / "trained.pt"), str(tmp_path / "small.pt")
    torch.save(checkpoint_of(model, args), path)
    done = prune(path, small)
    assert done.difference < 1e-4
    left = kept_units(small).inventory
    assert left.kept_per_kind([True] * left.units) == {"decoder.self": 4, "decoder.ffn": 24}


@pytest.mark.parametrize(
    "model, given, line",
    [
        (TRANSFORMER, {"layers_to_keep": "decoder=4"}, "--layers-to-keep decoder=4: must be 1 to 3, the layers of"),
        (
            TRANSFORMER,
            {"layers_to_keep": "2"},
            "--layers-to-keep 2: must be a number for each stack, such as decoder=3",
        ),
        (TRANSFORMER, {"layers_to_keep": "encoder=1,decoder=2"}, "must be a number for each stack, such as decoder=3"),
        (TRANSFORMER, {"layers_to_keep": "decoder=1", "heads_to_keep": "4"}, "leaves 3 heads (3 in 1 of 3 layers"),
        (
            ALL_ATTENTION,
            {"layers_to_keep": "decoder=1", "heads_to_keep": "4"},
            "--layers-to-keep decoder=1: only the heads of an all_att",
        ),
    ],
)
def test_bad_numbers_of_layers_are_refused_in_a_line(model, given, line):
    args = options(model, decoder_layers=LAYERS)
    found = model_problems(Namespace(**{**vars(args), "pruning_method": "uniform", **given}))
    assert len(found) == 1 and line in found[0]


MOVEMENT = {"pruning_method": "movement", "block_rows": 4, "block_cols": 8, "weights_to_keep": "40%"}


def movement(variant="norms before blocks", seed=0):
    """A model whose weights are masked by random scores, so that 40% of them are left."""
    model = build(TRANSFORMER, variant, **MOVEMENT)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        model.gates.scores.copy_(torch.randn(model.gates.scores.shape, generator=generator))
    model.gates.finish_pruning()
    return model.train().eval()


@pytest.mark.parametrize("variant", VARIANTS)
def test_movement_with_all_scores_open_is_the_stock_model(variant):
    model = build(TRANSFORMER, variant, **MOVEMENT)
    one = stock(variant)
    model.load_state_dict(one.state_dict(), strict=False)
    assert near(chances(model.train().eval()), chances(one), 1e-6)


@pytest.mark.parametrize("variant", VARIANTS)
def test_masked_weights_are_zeros_and_what_is_empty_is_removed(tmp_path, variant):
    model = movement(variant)
    expected = chances(model)
    assert not near(expected, chances(build(TRANSFORMER, variant, **MOVEMENT)), 1e-3)
    layout, mask = model.gates.layout, model.gates.weight_mask()
    zeros = layout.zeros_in_place(model.state_dict(), mask)
    plain = shaken(TransformerLanguageModel.build_model(with_stock_defaults(options(TRANSFORMER, variant)), Task()))
    plain.load_state_dict({name: tensor for name, tensor in zeros.items() if not name.startswith("gates.")})
    assert near(chances(plain.eval()), expected, 1e-5)
    live = sum(tensor.count_nonzero() for name, tensor in zeros.items() if _prunable(name))
    assert live == pytest.approx(0.4 * sum(t.numel() for name, t in zeros.items() if _prunable(name)), rel=0.01)
    path, small = str(tmp_path / "masked.pt"), str(tmp_path / "small.pt")
    torch.save(checkpoint_of(model, options(TRANSFORMER, variant, **MOVEMENT)), path)
    done = prune(path, small)
    assert done.after.units < done.before.units and near(chances(build_model(load(small))), expected, 1e-4)


def _prunable(name):
    return ".layers." in name and name.endswith(".weight") and ("proj" in name or "fc" in name)


def test_movement_refuses_what_has_no_matrices_it_knows():
    [found] = model_problems(Namespace(**{**vars(options(ALL_ATTENTION)), **MOVEMENT}))
    assert found.startswith("--pruning-method movement: does not know the matrices of decoder.self in this model")
    assert inventory_of(options(TRANSFORMER, **MOVEMENT)).structures == ("heads", "ffn")
