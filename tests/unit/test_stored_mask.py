"""The checkpoint holds the mask that decodes; what holds none, or another number of heads, goes by its logits."""

import pytest
import torch
from tiny_checkpoints import MASK, masked_checkpoint
from tiny_models import HEADS, batch, build, near

from dsp_fairseq.checkpoints.building import build_model
from dsp_fairseq.checkpoints.reading import kept_units_of, state_of_mask, with_mask
from dsp_fairseq.gates.stored_mask import StoredMask
from dsp_fairseq.models.gated_transformer import GatedTransformerModel

OTHER = torch.tensor(MASK, dtype=torch.bool).flip(0)  # as many heads, but not those of the logits


def with_stored(mask):
    state = masked_checkpoint()
    inventory = kept_units_of(state).inventory
    state["model"].update(state_of_mask(mask, inventory))
    return state


def test_a_training_writes_the_mask_of_its_logits():
    state = masked_checkpoint()
    assert state["model"]["gates.kept.heads"].tolist() == MASK


def test_the_stored_mask_decodes_whatever_the_logits_say():
    state = with_stored(OTHER)
    assert torch.equal(kept_units_of(state).mask, OTHER)
    model = build_model(state)
    assert torch.equal(model.gates.mask(), OTHER)
    assert [block.open_units for block in model.gated_blocks] == [int(p.sum()) for p in model.gates.per_block(OTHER)]


def test_an_older_checkpoint_gets_that_of_its_logits():
    state = masked_checkpoint()
    del state["model"]["gates.kept.heads"]
    assert kept_units_of(state).mask.tolist() == MASK
    assert build_model(state).gates.mask().tolist() == MASK


@pytest.mark.parametrize("keep", [0, 5, HEADS])
def test_another_number_of_heads_goes_by_the_logits(keep):
    state = with_stored(OTHER)
    state["cfg"]["model"].heads_to_keep = str(keep)  # as --model-overrides does
    best = torch.argsort(state["model"]["gates.logits"], descending=True)[:keep]
    for mask in (kept_units_of(state).mask, build_model(state).gates.mask()):
        assert sorted(torch.nonzero(mask).flatten().tolist()) == sorted(best.tolist())


def test_a_mask_beyond_the_limits_is_not_taken():
    state = with_stored(OTHER)
    state["cfg"]["model"].max_heads_per_block = 3  # OTHER keeps 3 at most in every block, so it stays
    assert torch.equal(kept_units_of(state).mask, OTHER)
    state["cfg"]["model"].max_heads_per_block = 2
    state["cfg"]["model"].heads_to_keep = "15"
    assert max(kept_units_of(state).per_block) <= 2


def test_the_mean_of_several_masks_is_none():
    state = masked_checkpoint()
    state["model"]["gates.kept.heads"] = state["model"]["gates.kept.heads"] / 2
    assert kept_units_of(state).mask.tolist() == MASK
    assert build_model(state).gates.mask().tolist() == MASK


def test_with_mask_leaves_the_logits_as_they_are():
    state = masked_checkpoint()
    shown = with_mask(state, ~torch.tensor(MASK, dtype=torch.bool))
    assert torch.equal(shown["model"]["gates.logits"], state["model"]["gates.logits"])
    one, other = build_model(shown), build_model(shown)
    assert one.gates.mask().tolist() == [not kept for kept in MASK]
    other.mask_only()
    assert near(one(**batch())[0], other(**batch())[0])


def test_the_mask_follows_every_step_of_the_logits():
    model = build(GatedTransformerModel, "post-norm", pruning_method="ste", heads_to_keep=7)
    gates = model.gates.train()
    gates.begin_update()
    before = gates.mask()
    gates.of_update(torch.device("cpu"))
    (gates.of_update(torch.device("cpu")) * torch.arange(HEADS)).sum().backward()
    gates.add_sample_size(1.0)
    for _ in range(3):
        gates.step()
        assert torch.equal(gates.mask(), gates.choice.mask(gates.logits.detach()))
        gates.begin_update()
        (gates.of_update(torch.device("cpu")) * torch.arange(HEADS)).sum().backward()
    assert not torch.equal(gates.mask(), before)


def test_structures_are_stored_apart_and_come_back_in_flat_order():
    from dataclasses import replace

    from dsp_fairseq.families.transformer.inventory import transformer_inventory
    from dsp_fairseq.structures.inventory import Inventory

    blocks = transformer_inventory(2, 3, 1, 4).blocks  # 3 + 3 + 4 + 4
    inventory = Inventory(
        [blocks[0], replace(blocks[1], structure="units"), blocks[2], replace(blocks[3], structure="units")]
    )
    mask = torch.rand(14, generator=torch.Generator().manual_seed(1)) < 0.5
    held = StoredMask(inventory)
    held.store(mask)
    assert {name: len(piece) for name, piece in held.state_dict().items()} == {"heads": 7, "units": 7}
    assert torch.equal(held.read(), mask)
