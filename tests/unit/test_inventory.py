from argparse import Namespace

from hypothesis import given
from hypothesis import strategies as st

from dsp_fairseq.families.transformer.inventory import feed_forward_inventory, transformer_inventory
from dsp_fairseq.gates import hard_top_k
from dsp_fairseq.gates.methods import uniform_logits
from dsp_fairseq.removal import removal_table
from dsp_fairseq.structures.inventory import uniform_order

shapes = st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 4), st.integers(1, 5))


def test_order_is_kinds_then_layers():
    inventory = transformer_inventory(2, 3, 1, 4)
    assert [block.name for block in inventory.blocks] == [
        "encoder.self.0",
        "encoder.self.1",
        "decoder.self.0",
        "decoder.cross.0",
    ]
    assert inventory.sizes == [3, 3, 4, 4]
    assert inventory.units == 14
    assert [list(piece) for piece in inventory.split(range(14))][2] == [6, 7, 8, 9]


def test_iwslt_has_72_heads():
    assert transformer_inventory(6, 4, 6, 4).units == 72


def test_remainder_goes_to_cross_then_decoder_then_encoder():
    inventory = transformer_inventory(3, 4, 3, 4)
    kept = lambda k: inventory.kept_per_kind(hard_top_k(uniform_logits(inventory, 1.0), k))  # noqa: E731
    assert kept(12) == {"encoder.self": 3, "decoder.self": 3, "decoder.cross": 6}
    assert kept(4) == {"encoder.self": 0, "decoder.self": 1, "decoder.cross": 3}
    assert kept(16) == {"encoder.self": 4, "decoder.self": 6, "decoder.cross": 6}


@given(shapes, st.data())
def test_uniform_choice_is_even(shape, data):
    inventory = transformer_inventory(*shape)
    k = data.draw(st.integers(0, inventory.units))
    mask = hard_top_k(uniform_logits(inventory, 1.0), k)
    assert set(mask.nonzero().flatten().tolist()) == set(uniform_order(inventory)[:k])
    kept = [sum(piece) for piece in inventory.split(mask.tolist())]
    roomy = [n for n, size in zip(kept, inventory.sizes, strict=True) if n < size]
    assert not roomy or max(kept) - min(roomy) <= 1
    assert sum(inventory.kept_per_kind(mask).values()) == k


def test_kept_hidden_units_are_told_in_ranges():
    inventory = feed_forward_inventory(
        Namespace(**{f"{stack}_{part}": n for stack in ("encoder", "decoder")
                     for part, n in (("embed_dim", 8), ("ffn_embed_dim", 32), ("layers", 1))}), 8)  # fmt: skip
    table = removal_table(inventory, inventory.keeping([True, True, False, True, False, False, False, False]))
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    assert rows == [["encoder.ffn.0", "32 => 24", "0-15 24-31"], ["decoder.ffn.0", "32 => 0", "none"]]
