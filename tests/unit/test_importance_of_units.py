"""Importance of heads and hidden units together: under a budget in parameters it is importance per parameter."""

import pytest
import torch
from tiny_checkpoints import checkpoint_of
from tiny_models import build

from dsp_fairseq.checkpoints.reading import kept_units, load
from dsp_fairseq.importance.run import rank
from dsp_fairseq.importance.settings import Settings
from dsp_fairseq.models.gated_transformer import GatedTransformerModel

# parameters of a unit of 24 inputs: a head of 8 or 6 in encoder and decoder, a group of 8 hidden units
COSTS = {"encoder.self": 4 * 24 * 8 + 3 * 8, "decoder.self": 4 * 24 * 6 + 3 * 6, "decoder.cross": 4 * 24 * 6 + 3 * 6}
COSTS |= dict.fromkeys(("encoder.ffn", "decoder.ffn"), 8 * (2 * 24 + 1))


def norm(weights, block, unit):
    """Frobenius norm of the matrices of one unit."""
    entries = slice(unit * block.width, (unit + 1) * block.width)
    if block.structure == "heads":
        rows, columns = ("q_proj", "k_proj", "v_proj"), "out_proj"
    else:
        rows, columns = ("fc1",), "fc2"
    parts = [weights[f"{block.module}.{name}.weight"][entries] for name in rows]
    parts.append(weights[f"{block.module}.{columns}.weight"][:, entries])
    return float(sum(part.double().square().sum() for part in parts)) ** 0.5


@pytest.mark.parametrize("budget", [{"parameters_to_keep": "40%"}, {"heads_to_keep": "7", "ffn_to_keep": "40"}])
def test_magnitude_of_every_unit_against_a_loop(tmp_path, budget):
    path, out = tmp_path / "trained.pt", tmp_path / "ranked.pt"
    torch.save(checkpoint_of(build(GatedTransformerModel, "post-norm", pruning_method="none")), path)
    result = rank(str(path), str(out), Settings(score="magnitude", normalise="none", ffn_group=8, **budget))
    weights, blocks = load(str(path))["model"], result.before.inventory.blocks
    assert {block.kind: block.cost for block in blocks} == COSTS
    expected = [
        norm(weights, block, unit) / (block.cost if "parameters_to_keep" in budget else 1)
        for block in blocks
        for unit in block.indices
    ]
    assert result.ranking.importance.tolist() == pytest.approx(expected)
    kept = kept_units(str(out))
    assert torch.equal(kept.mask, result.ranking.mask)
    if "heads_to_keep" in budget:
        heads = sum(kept.per_kind[kind] for kind in ("encoder.self", "decoder.self", "decoder.cross"))
        assert (heads, kept.per_kind["encoder.ffn"] + kept.per_kind["decoder.ffn"]) == (7, 40)
