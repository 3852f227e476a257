"""METHODS law 2: a model whose heads are taken out computes what the masked model computes."""

from argparse import Namespace

import pytest
import torch
from fairseq.models.transformer import TransformerModel
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import HEADS, SHAPE, VARIANTS, batch, build, near, pair, show_mask, small_model

from dsp_fairseq.structures.heads import HEADS as ATTENTION_HEADS
from dsp_fairseq.structures.structure import entries_of
from dsp_fairseq.structures.surgery import fill_with_zeros, remove_units

MASKS = st.lists(st.booleans(), min_size=HEADS, max_size=HEADS)
SHAPES = ["post-norm", "pre-norm", "shared embeddings", "different widths"]


def masked(variant, mask):
    """Every head computed, removed ones times 0."""
    _, gated = pair(variant)
    show_mask(gated, mask)
    gated.gates.set_logits(gated.gates.logits + torch.linspace(0, 0.1, HEADS))  # all different
    gated.eval().mask_only()
    return gated


@pytest.mark.parametrize("variant", SHAPES)
@settings(max_examples=15)
@given(mask=MASKS)
def test_removed_equals_masked(variant, mask):
    gated = masked(variant, mask)
    small, after = small_model(gated, variant, mask)
    assert [a.num_heads for a in small.gated_blocks] == [block.units for block in after.blocks]
    assert torch.equal(small.gates.logits, gated.gates.logits[torch.tensor(mask)])
    with torch.no_grad():
        assert near(small(**batch())[0], gated(**batch())[0])


@settings(max_examples=10)
@given(mask=MASKS)
def test_the_small_model_has_the_parameters_of_its_heads_and_no_others(mask):
    gated = masked("different widths", mask)
    small, _ = small_model(gated, "different widths", mask)
    inventory, expected = gated.gates.inventory, 0
    for block, piece, attention in zip(inventory.blocks, inventory.split(mask), gated.gated_blocks, strict=True):
        own = sum(p.numel() for p in attention.parameters()) - attention.out_proj.bias.numel()
        expected += own // block.units * (len(piece) - sum(piece))
    count = [sum(p.numel() for p in model.parameters()) for model in (gated, small)]
    assert count[0] - count[1] == expected


@pytest.mark.parametrize("variant", SHAPES)
@settings(max_examples=5)
@given(mask=MASKS)
def test_zeros_in_place_of_removed_heads_make_a_stock_model(variant, mask):
    gated = masked(variant, mask)
    small, after = small_model(gated, variant, mask)
    stock = build(TransformerModel, variant)
    stock.load_state_dict(fill_with_zeros(small.state_dict(), after))
    for layer in stock.encoder.layers:
        layer.can_use_fastpath = False
    with torch.no_grad():
        assert near(stock.eval()(**batch())[0], gated(**batch())[0])


@settings(max_examples=5)
@given(first=MASKS, second=MASKS)
def test_removing_twice_equals_removing_once(first, second):
    _, gated = pair("post-norm")
    both = [a and b for a, b in zip(first, second, strict=True)]
    inventory, state = gated.gates.inventory, gated.state_dict()
    once = inventory.keeping(first)
    twice = once.keeping([b for a, b in zip(first, second, strict=True) if a])
    assert twice.indices() == inventory.keeping(both).indices()
    in_two_steps = remove_units(remove_units(state, inventory, once), once, twice)
    at_once = remove_units(state, inventory, twice)
    assert at_once.keys() == in_two_steps.keys()
    # fairseq never sets the number in _float_tensor, which may be NaN
    names = [name for name in at_once if not name.endswith("_float_tensor")]
    assert all(torch.equal(at_once[name], in_two_steps[name]) for name in names)


def test_slices_against_a_loop():
    weights = {
        f"{p}_proj.{part}": torch.randn(6, 4)[:, : 4 if part == "weight" else 1].squeeze(1)
        for p in "qkv"
        for part in ("weight", "bias")
    }
    weights["out_proj.weight"] = torch.randn(4, 6)
    heads = torch.tensor([0, 2])
    slices = ATTENTION_HEADS.select(weights, entries_of(heads, 2))
    for number, head in enumerate(heads.tolist()):
        for within in range(2):
            old, new = head * 2 + within, number * 2 + within
            for name in ("q_proj.weight", "k_proj.bias", "v_proj.weight"):
                assert torch.equal(slices[name][new], weights[name][old])
            assert torch.equal(slices["out_proj.weight"][:, new], weights["out_proj.weight"][:, old])
    assert entries_of(heads, 2).tolist() == [0, 1, 4, 5]
    assert slices["q_proj.weight"].shape == (4, 4) and slices["out_proj.weight"].shape == (4, 4)


def test_a_batch_equals_its_sentences():
    mask = [True, False, False] + [False] * 3 + [True, False, True, False] * 6
    small, _ = small_model(masked("pre-norm", mask), "pre-norm", mask)
    sample = batch()
    with torch.no_grad():
        together = small(**sample)[0]
        for row, length in enumerate(sample["src_lengths"]):
            alone = small(
                sample["src_tokens"][row : row + 1, -length:],
                length.view(1),
                sample["prev_output_tokens"][row : row + 1, :length],
            )[0]
            assert near(together[row, :length], alone[0])


def test_a_small_model_trains_and_every_parameter_gets_a_gradient():
    mask = [True, False, False] + [False] * 3 + [True, False, True, False] * 6
    small, _ = small_model(masked("post-norm", mask), "post-norm", mask)
    small.train()
    small(**batch())[0].sum().backward()
    assert not [name for name, parameter in small.named_parameters() if parameter.grad is None]


def test_inventory_of_a_small_model_remembers_the_original_heads():
    from dsp_fairseq.families import inventory_of

    mask = [False, True, False] + [False] * 3 + [True] * 24
    _, gated = pair("post-norm")
    after = gated.gates.inventory.keeping(mask)
    options = Namespace(**SHAPE, **VARIANTS["post-norm"], kept_heads=after.indices())
    again = inventory_of(options)
    assert again.blocks == after.blocks
    assert (again.units, again.original_units) == (25, HEADS)
    assert again.blocks[0].indices == (1,) and again.blocks[1].indices == ()
