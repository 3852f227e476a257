"""A checkpoint that is pruned again keeps to the limits of its training, whatever wrote it in between."""

from argparse import Namespace

import pytest
import torch
from tiny_checkpoints import checkpoint_of
from tiny_models import HEADS, build

from dsp_fairseq.checkpoints.building import build_model
from dsp_fairseq.checkpoints.prune import prune
from dsp_fairseq.checkpoints.reading import kept_units, load, model_options
from dsp_fairseq.errors import BadInput
from dsp_fairseq.importance.run import rank
from dsp_fairseq.importance.settings import Settings
from dsp_fairseq.models.gated_transformer import GatedTransformerModel
from dsp_fairseq.option_names import LIMITS

LIMITED = {
    "at least": {"min_heads_per_block": 1},
    "both": {"min_heads_per_block": 1, "max_heads_per_block": 2},
    "some kinds": {"prunable": "encoder.self,decoder.cross"},
}


@pytest.fixture(params=LIMITED)
def trained(request, tmp_path):
    """A path, and the limits; logits that break them when nothing holds them."""
    options = dict(heads_to_keep="16", **LIMITED[request.param])
    model = build(GatedTransformerModel, "post-norm", pruning_method="uniform", **options)
    model.gates.set_logits(torch.arange(HEADS).flip(0))  # the first blocks are the best
    torch.save(checkpoint_of(model, **options), tmp_path / "trained.pt")
    return str(tmp_path / "trained.pt")


def kept(path):
    """Original heads that decode, by block."""
    heads = kept_units(path)
    return heads.inventory.keeping(heads.mask.tolist()).indices()


def test_twice_is_as_once(trained, tmp_path, smaller=14):
    small, again, once = (str(tmp_path / f"{name}.pt") for name in ("small", "again", "once"))
    prune(trained, small)
    prune(small, again, heads_to_keep=str(smaller))
    prune(trained, once, heads_to_keep=str(smaller))
    assert kept(again) == kept(once)
    override = load(small)
    override["cfg"]["model"].heads_to_keep = smaller  # what --model-overrides does
    open_heads = [attention.open_units for attention in build_model(override).gated_blocks]
    assert open_heads == [len(heads) for heads in kept(once).values()]


def test_what_the_limits_do_not_allow_is_refused_the_second_time_too(trained, tmp_path):
    least = build_model(load(trained)).gates.choice.shares[0].pool.least
    prune(trained, str(tmp_path / "small.pt"))
    if not least:
        return prune(str(tmp_path / "small.pt"), str(tmp_path / "none.pt"), heads_to_keep="0")
    for path in (trained, str(tmp_path / "small.pt")):
        with pytest.raises(BadInput, match=f"--heads-to-keep {least - 1}: .* ask for {least}"):
            prune(path, str(tmp_path / "again.pt"), heads_to_keep=str(least - 1))


def test_importance_leaves_the_limits_of_the_training_and_its_own(trained, tmp_path):
    ranked, own = str(tmp_path / "ranked.pt"), str(tmp_path / "own.pt")
    rank(trained, ranked, Settings("15", "magnitude"))
    then, now = (vars(model_options(load(path))) for path in (trained, ranked))
    assert {name: then.get(name) for name in LIMITS} == {name: now.get(name) for name in LIMITS}
    if not all(kept(trained).values()):
        return  # a floor cannot be kept where all heads are closed
    rank(trained, own, Settings("15", "magnitude", min_heads_per_block=1))
    assert model_options(load(own)).min_heads_per_block == 1
    prune(own, str(tmp_path / "small.pt"), heads_to_keep="14")
    assert min(map(len, kept(str(tmp_path / "small.pt")).values())) >= 1


def test_a_floor_that_closed_heads_cannot_keep_is_left_out(tmp_path):
    """A block with one open head of four keeps that; importance must not open another."""
    model = build(GatedTransformerModel, "post-norm", pruning_method="uniform", heads_to_keep="15")
    model.gates.set_logits(torch.arange(HEADS).flip(0))
    torch.save(checkpoint_of(model, heads_to_keep="15"), tmp_path / "masked.pt")
    before = kept(str(tmp_path / "masked.pt"))
    rank(str(tmp_path / "masked.pt"), str(tmp_path / "ranked.pt"), Settings("12", "magnitude", min_heads_per_block=2))
    after = kept(str(tmp_path / "ranked.pt"))
    assert sum(map(len, after.values())) == 12
    assert all(
        set(after[block]) <= set(heads) and len(after[block]) >= min(2, len(heads)) for block, heads in before.items()
    )


def test_training_with_all_heads_hands_the_limits_on(tmp_path, monkeypatch):
    """--pruning-method none on a pruned checkpoint: limits cannot be given, and are those of the checkpoint."""
    from dsp_fairseq.training import preflight

    stored = Namespace(
        kept_heads={"encoder.self.0": [0]},
        encoder_attention_heads=1,
        prunable="encoder.self",
        max_heads_per_block=3,
        arch="gated_transformer",
    )
    monkeypatch.setattr(preflight, "load", lambda path: {"args": stored})
    for method, expected in (("none", {"prunable": "encoder.self", "max_heads_per_block": 3}), ("dsp", {})):
        args = Namespace(
            arch="gated_transformer",
            restore_file="small.pt",
            encoder_attention_heads=1,
            pruning_method=method,
            **dict.fromkeys(LIMITS),
        )
        assert preflight._adopt_structure(args) == []
        assert {name: getattr(args, name) for name in LIMITS} == {**dict.fromkeys(LIMITS), **expected}
    told = list(preflight._limits_of_nothing(Namespace(pruning_method="none", min_heads_per_block=2)))
    assert told == ["--min-heads-per-block 2: --pruning-method none keeps all heads; leave it out"]
    told = list(preflight._limits_of_nothing(Namespace(pruning_method="none", min_ffn_per_block=2)))
    assert told == ["--min-ffn-per-block 2: --pruning-method none keeps all hidden units; leave it out"]
