"""L0 gates with a budget: the expected cost is led to it, the choice at the end of the search is exact."""

from argparse import Namespace

import pytest
import torch
from tiny_gates import INVENTORY

from dsp_fairseq.families.transformer.inventory import feed_forward_inventory
from dsp_fairseq.gates.expected_cost import expected_sparsity
from dsp_fairseq.options.plan import Plan
from dsp_fairseq.structures.inventory import Inventory

SHAPE = Namespace(
    encoder_layers=2, encoder_embed_dim=12, encoder_ffn_embed_dim=64, decoder_layers=2, decoder_embed_dim=12,
    decoder_ffn_embed_dim=32,
)  # fmt: skip
WHOLE = Inventory([*INVENTORY.blocks, *feed_forward_inventory(SHAPE, 8).blocks])  # 22 heads, 24 groups of 8 units
SEARCH = 400


def gates_of(inventory=WHOLE, **options):
    options = {"pruning_method": "l0", "search_updates": SEARCH, "seed": 1, **options}
    return Plan.of(Namespace(**options), inventory).gates()


def worth_of(gates, seed=1):
    """Loss [units] of closing each unit."""
    return 0.2 * torch.rand(gates.inventory.units, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def train(gates, first=0, until=SEARCH, batches=1):
    """Updates of a loss that pays for every closed unit what the unit is worth."""
    worth = worth_of(gates)
    for update in range(first, until):
        gates.set_num_updates(update)
        gates.begin_update()
        for _ in range(batches):
            drawn = gates.of_update(torch.device("cpu"))
            loss = ((1 - drawn) * worth).sum() / len(worth) + gates.penalty()
            (loss * 7).backward()
            gates.add_sample_size(7)
        gates.step()
    gates.set_num_updates(until)
    return gates


def test_heads_and_hidden_units_each_come_to_their_own_budget():
    gates = train(gates_of(heads_to_keep=6, ffn_to_keep=128))
    assert gates.expected_counts == pytest.approx({"heads": 6, "ffn": 128}, rel=0.15)
    assert gates.settled and gates.open_counts == {"heads": 6, "ffn": 128}
    mask, worth = gates.mask(), worth_of(gates)
    for structure, of_structure in gates_by_structure(gates).items():
        kept = worth[of_structure & mask].mean()
        assert kept > worth[of_structure & ~mask].mean() + 0.03, structure


def gates_by_structure(gates):
    blocks = gates.inventory.blocks
    names = [block.structure for block in blocks for _ in range(block.units)]
    return {name: torch.tensor([name == own for own in names]) for name in ("heads", "ffn")}


def test_a_budget_in_parameters_is_one_of_expected_parameters():
    gates = gates_of(parameters_to_keep="30%")
    [share] = gates.choice.shares
    costs = torch.tensor([float(b.cost) for b in gates.inventory.blocks for _ in range(b.units)])
    of_heads = gates_by_structure(gates)["heads"]
    gates.set_logits(torch.where(of_heads, 20.0, -20.0))
    gates.set_num_updates(SEARCH - 1)
    gates.multipliers.copy_(torch.tensor([[1.0, 0.0]]))
    sparsity, target = 1 - costs[of_heads].sum() / costs.sum(), 1 - share.keep / costs.sum()
    assert float(gates.penalty().detach()) == pytest.approx(float(sparsity - target), abs=1e-6)
    gates = train(gates_of(parameters_to_keep="30%"))
    expected = (1 - float(expected_sparsity(gates.logits.detach(), costs))) * float(costs.sum())
    assert expected == pytest.approx(share.keep, rel=0.15)
    spent = float(costs[gates.mask()].sum())
    assert spent <= share.keep < spent + float(costs[~gates.mask()].min())


@pytest.mark.parametrize("kinds", ["decoder.cross", "encoder.self,decoder.self"])
def test_kinds_that_stay_count_among_the_budget(kinds):
    gates = train(gates_of(INVENTORY, heads_to_keep=17, prunable=kinds))
    assert gates.expected_heads == pytest.approx(17, abs=1.0) and int(gates.mask().sum()) == 17


def test_the_target_rises_first_and_the_penalty_pulls_from_both_sides():
    gates = gates_of(INVENTORY, heads_to_keep=11)
    gates.set_num_updates(SEARCH // 10)  # half of the rise
    gates.multipliers.copy_(torch.tensor([[-3.0, 5.0]]))
    gap = (1 - gates.expected_heads / 22) - 0.25
    assert float(gates.penalty().detach()) == pytest.approx(-3 * gap + 5 * gap**2)


def test_multipliers_ascend_once_an_update_whatever_its_batches():
    one, three = (train(gates_of(heads_to_keep=6, ffn_to_keep=64), until=30, batches=n) for n in (1, 3))
    assert one.multipliers.abs().min() > 0 and one.multipliers.shape == (2, 2)
    assert torch.allclose(one.multipliers, three.multipliers) and torch.allclose(one.logits, three.logits)


def test_after_the_search_nothing_moves_any_more():
    gates = train(gates_of(INVENTORY, heads_to_keep=6))
    before = {name: value.clone() for name, value in gates.state_dict().items()}
    assert gates.penalty() is None and gates.mask_of_update().equal(gates.mask())
    gates.step()
    assert all(torch.equal(value, before[name]) for name, value in gates.state_dict().items())


def test_an_overflow_leaves_the_multipliers():
    gates = gates_of(INVENTORY, heads_to_keep=6)
    gates.set_num_updates(50)
    (gates.sample() * float("inf")).sum().backward()
    gates.add_sample_size(1)
    gates.step()
    assert not gates.multipliers.any()


def test_a_resumed_search_equals_an_uninterrupted_one():
    options = {"heads_to_keep": 6, "ffn_to_keep": 64}
    whole, half, resumed = (gates_of(**options) for _ in range(3))
    train(whole, until=90)
    train(half, until=50)
    resumed.set_num_updates(50)
    resumed.load_state_dict(half.state_dict())
    train(resumed, first=50, until=90)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_a_search_that_begins_again_forgets_its_multipliers():
    gates = train(gates_of(INVENTORY, heads_to_keep=6), until=20)
    gates.set_num_updates(0)
    assert not gates.multipliers.any()


@pytest.mark.parametrize(
    "options",
    [
        {"pruning_method": "none"},
        {"heads_to_keep": "encoder.self=1,decoder.self=2,decoder.cross=3"},
        {"heads_to_keep": 6, "l0_penalty": 0.1, "search_updates": None},
    ],
)
def test_checkpoints_fit_gates_of_another_method_or_budget(options):
    there = train(gates_of(INVENTORY, heads_to_keep=6), until=20)
    own = gates_of(INVENTORY, **{"search_updates": None, **options} if "pruning_method" in options else options)
    for one, other in ((there, own), (own, there)):
        state = {f"gates.{name}": value.clone() for name, value in one.state_dict().items()}
        other.upgrade_state_dict_named(state, "gates")
        other.load_state_dict({name.partition(".")[2]: value for name, value in state.items()})
        assert torch.equal(other.logits.detach(), one.logits.detach())


def test_with_a_penalty_all_is_as_ever():
    gates = gates_of(INVENTORY, heads_to_keep=6, l0_penalty=0.1, search_updates=None)
    assert gates.multipliers is None and "multipliers" not in gates.state_dict()
    assert not gates.method.searches and not gates.method.settled(10**6)


def test_a_search_is_a_share_of_the_planned_updates():
    gates = gates_of(INVENTORY, heads_to_keep=6, search_updates=None)
    gates.plan_search(0, 100, 0.3, 100)
    assert gates.method.search_updates == 30
    gates.set_num_updates(30)
    assert gates.settled
