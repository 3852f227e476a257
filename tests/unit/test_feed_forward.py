"""METHODS laws 1 and 2 for feed-forward units: open gates change nothing, removed equals masked, also step by step."""

import pytest
import torch
from fairseq.models.transformer import TransformerModel
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_checkpoints import checkpoint_of
from tiny_models import batch, build, near, pair, show_mask, small_model, translations

from dsp_fairseq.checkpoints.prune import prune
from dsp_fairseq.checkpoints.reading import kept_units, load
from dsp_fairseq.checkpoints.schema import check
from dsp_fairseq.models.gated_transformer import GatedTransformerModel
from dsp_fairseq.structures.surgery import fill_with_zeros

HEADS, GROUPS, GROUP = 30, 2 * 4 + 3 * 2, 8  # hidden units: 32 in each encoder layer, 16 in each decoder layer
MASKS = st.lists(st.booleans(), min_size=HEADS + GROUPS, max_size=HEADS + GROUPS)
SHAPES = ["post-norm", "pre-norm", "shared embeddings", "different widths"]
NO_UNITS = [True] * HEADS + [False] * GROUPS


def gated_pair(variant):
    return pair(variant, ffn_group=GROUP)


def masked(variant, mask):
    """Every unit is computed, those that are not kept times 0."""
    _, gated = gated_pair(variant)
    show_mask(gated, mask)
    gated.eval().mask_only()
    return gated


@pytest.mark.parametrize("variant", SHAPES)
def test_with_all_gates_open_it_is_the_stock_model(variant):
    stock, gated = gated_pair(variant)
    for model in (stock.eval(), gated.eval()):
        with torch.no_grad():
            model.output = model(**batch())[0]
    assert near(gated.output, stock.output, 1e-6)
    gated.train()._gate(torch.ones(HEADS + GROUPS))
    assert near(gated.eval()(**batch())[0], stock.output, 1e-6)


@pytest.mark.parametrize("variant", SHAPES)
@settings(max_examples=10)
@given(mask=MASKS)
def test_removed_equals_masked(variant, mask):
    gated = masked(variant, mask)
    small, after = small_model(gated, variant, mask, ffn_group=GROUP)
    layers = [*small.encoder.layers, *small.decoder.layers]
    widths = [block.units * GROUP for block in after.blocks if block.structure == "ffn"]
    assert [layer.fc1.out_features for layer in layers] == [layer.fc2.in_features for layer in layers] == widths
    assert [len(layer.fc1.weight) for layer in layers] == [layer.fc2.weight.size(1) for layer in layers] == widths
    with torch.no_grad():
        expected = gated(**batch())[0]
        assert near(small(**batch())[0], expected)
        gated._apply_mask()  # only the units that are kept are computed
        assert near(gated(**batch())[0], expected)


@settings(max_examples=5)
@given(mask=MASKS)
def test_zeros_in_place_of_removed_units_make_a_stock_model(mask):
    gated = masked("post-norm", mask)
    small, after = small_model(gated, "post-norm", mask, ffn_group=GROUP)
    stock = build(TransformerModel, "post-norm")
    stock.load_state_dict(fill_with_zeros(small.state_dict(), after))
    for layer in stock.encoder.layers:
        layer.can_use_fastpath = False
    with torch.no_grad():
        assert near(stock.eval()(**batch())[0], gated(**batch())[0])


@pytest.mark.parametrize("mask", [NO_UNITS, [i % 3 > 0 for i in range(HEADS + GROUPS)], [False] * (HEADS + GROUPS)])
@pytest.mark.parametrize("variant", ["post-norm", "pre-norm"])
def test_beam_search_with_lean_steps_finds_what_the_masked_model_finds(variant, mask):
    gated = masked(variant, mask)
    expected = translations([gated])
    small, _ = small_model(gated, variant, mask, ffn_group=GROUP)
    small.make_generation_fast_()
    found = translations([small])
    for ours, theirs in zip(found, expected, strict=True):
        assert [hypothesis["tokens"].tolist() for hypothesis in ours] == [h["tokens"].tolist() for h in theirs]
        assert all(near(o["score"], t["score"], 1e-4) for o, t in zip(ours, theirs, strict=True))


def test_gradients_of_gates_against_finite_differences():
    _, gated = gated_pair("post-norm")
    gated.double().train()
    feed_forward = gated.decoder.layers[1].feed_forward
    x = torch.randn(5, 3, 24, dtype=torch.float64)

    def output(gates):
        feed_forward.gate(gates)
        layer = gated.decoder.layers[1]
        return layer.fc2(layer.fc1(x).relu())

    gates = torch.tensor([0.3, 1.2], dtype=torch.float64, requires_grad=True)
    output(gates).square().sum().backward()
    for unit in range(2):
        step = torch.zeros(2, dtype=torch.float64)
        step[unit] = 1e-3
        with torch.no_grad():
            slope = (output(gates + step).square().sum() - output(gates - step).square().sum()) / 2e-3
        assert float(gates.grad[unit]) == pytest.approx(float(slope), rel=1e-4)


def test_gates_of_sentences_act_on_their_own_sentence():
    _, gated = gated_pair("post-norm")
    feed_forward = gated.eval().encoder.layers[0].feed_forward
    layer, x = gated.encoder.layers[0], torch.randn(5, 3, 24)
    gates = torch.rand(3, 4)
    with torch.no_grad(), feed_forward.sentence_gates(gates):
        together = layer.fc2(layer.fc1(x).relu())
    for sentence in range(3):
        with torch.no_grad():
            feed_forward.gate(gates[sentence])
            alone = layer.fc2(layer.fc1(x[:, sentence]).relu())
        assert near(together[:, sentence], alone)


def test_hidden_units_that_all_stay_are_counted_as_hidden_units():
    gated = build(GatedTransformerModel, "post-norm", pruning_method="ste", heads_to_keep=5, ffn_group=GROUP).train()
    gated.gates.set_num_updates(1)
    assert gated.gates.open_counts == {"heads": 5, "ffn": GROUP * GROUPS}
    inventory = gated.gates.inventory
    assert (inventory.noun, inventory.nouns) == ("units", ["heads", "hidden units"])
    assert [inventory.of_structure(name).noun for name in inventory.structures] == ["heads", "hidden units"]


def test_a_checkpoint_may_have_lost_what_was_wider_than_all_that_is_left(tmp_path):
    given = {"encoder_ffn_embed_dim": 96, "ffn_to_keep": "16", "ffn_group": GROUP, "heads_to_keep": "30"}
    model = build(GatedTransformerModel, "post-norm", pruning_method="uniform", **given)
    torch.save(checkpoint_of(model, **given), tmp_path / "trained.pt")
    prune(str(tmp_path / "trained.pt"), str(tmp_path / "small.pt"))
    state = load(str(tmp_path / "small.pt"))
    assert max(size for tensor in state["model"].values() for size in tensor.shape) < 96
    assert kept_units(str(tmp_path / "small.pt")).per_kind["encoder.ffn"] <= 16
    state["cfg"]["model"].encoder_ffn_embed_dim = 10**6
    with pytest.raises(ValueError, match="--encoder-ffn-embed-dim 1000000: no weight in it is so large"):
        check("small.pt", state)
