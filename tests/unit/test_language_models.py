"""Language models with gates: stock equality, masked = removed, incremental = full, batch = single."""

from argparse import Namespace

import pytest
import torch
from fairseq.models import ARCH_MODEL_REGISTRY
from omegaconf import OmegaConf
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
    show_mask,
    stock,
)
from tiny_models import near

from dsp_fairseq.checkpoints.building import build_model, build_stock_model
from dsp_fairseq.checkpoints.prune import prune
from dsp_fairseq.checkpoints.reading import load
from dsp_fairseq.checkpoints.schema import check
from dsp_fairseq.errors import BadInput
from dsp_fairseq.families import families, family_of, inventory_of
from dsp_fairseq.families.kept_heads import kept_problems
from dsp_fairseq.options.problems import model_problems

MASKS = {"uneven": [1, 0, 1, 0, 1, 0], "an empty block": [0, 0, 0, 1, 1, 0], "nothing": [0] * 6, "all": [1] * 6}
MODELS = (TRANSFORMER, ALL_ATTENTION)


@pytest.mark.parametrize("variant", VARIANTS)
def test_with_all_gates_open_it_is_the_stock_model(variant):
    one, other = stock(variant), build(TRANSFORMER, variant)
    _, unexpected = other.load_state_dict(one.state_dict(), strict=False)
    assert not unexpected and set(one.state_dict()) <= set(other.state_dict())
    assert near(chances(other.eval()), chances(one), 1e-6)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("mask", MASKS)
def test_masked_is_removed_and_dense(model, mask, tmp_path):
    kept, args = MASKS[mask], options(model)
    whole = build(model)
    torch.save(checkpoint_of(whole, args, kept), tmp_path / "masked.pt")
    done = prune(str(tmp_path / "masked.pt"), str(tmp_path / "small.pt"))
    masked = chances(show_mask(whole, kept))
    small = build_model(load(str(tmp_path / "small.pt")))
    assert near(chances(small), masked, 1e-5) and done.after.units == sum(kept)
    if sum(kept) < 6:
        assert not near(masked, chances(build(model)), 1e-3)
    if model == TRANSFORMER:
        prune(str(tmp_path / "masked.pt"), str(tmp_path / "dense.pt"), dense=True)
        state = load(str(tmp_path / "dense.pt"))
        assert near(chances(build_stock_model(state)), masked, 1e-5) and "gates.logits" not in state["model"]
    else:
        with pytest.raises(BadInput, match="--dense: fairseq has no model"):
            prune(str(tmp_path / "masked.pt"), str(tmp_path / "dense.pt"), dense=True)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("variant", ["plain", "adaptive"])
@pytest.mark.parametrize("mask", ["uneven", "an empty block"])
def test_word_by_word_is_the_whole_text(model, variant, mask):
    gated = show_mask(build(model, variant), MASKS[mask])
    words = batch((19, 19))["src_tokens"]
    expected = chances(gated, {"src_tokens": words})
    owned = sum(parameter.numel() for parameter in gated.parameters())
    gated.make_generation_fast_()
    assert sum(parameter.numel() for parameter in gated.parameters()) < owned  # pruned heads are removed
    state, found, order = {}, [], torch.tensor([1, 0])
    with torch.no_grad():
        for length in range(1, words.size(1) + 1):
            output = gated.decoder(words[:, :length], incremental_state=state)
            found.append(gated.get_normalized_probs(output, log_probs=True))
            if length == 9:  # hypotheses change places, as in a beam search
                gated.decoder.reorder_incremental_state_scripting(state, order)
                words, expected = words[order], expected[order]
                found = [each[order] for each in found]
    assert near(torch.cat(found, dim=1), expected, 1e-5)


@pytest.mark.parametrize("model", MODELS)
def test_a_batch_is_its_texts_one_by_one(model):
    gated, inputs = show_mask(build(model), MASKS["uneven"]), batch()
    together = chances(gated, inputs)
    for row, length in enumerate(inputs["src_lengths"].tolist()):
        alone = chances(gated, {"src_tokens": inputs["src_tokens"][row : row + 1, :length]})
        assert near(together[row, :length], alone[0], 1e-5)


@pytest.mark.parametrize("model", MODELS)
def test_words_do_not_see_later_words(model):
    gated, inputs = build(model), batch((11,))
    changed = inputs["src_tokens"].clone()
    changed[0, 7] = 9
    one, other = chances(gated, inputs), chances(gated, {"src_tokens": changed})
    assert near(one[:, :7], other[:, :7], 1e-6) and not near(one[:, 7:], other[:, 7:], 1e-3)


def test_hidden_units_can_be_removed_too(tmp_path):
    args = options(TRANSFORMER, ffn_group=8, pruning_method="uniform", heads_to_keep="4", ffn_to_keep="24")
    torch.save(checkpoint_of(build(TRANSFORMER, **vars(args)), args), tmp_path / "masked.pt")
    done = prune(str(tmp_path / "masked.pt"), str(tmp_path / "small.pt"))
    assert done.after.kept_per_kind([True] * done.after.units) == {"decoder.self": 4, "decoder.ffn": 24}
    width = SIZES["decoder_embed_dim"]
    assert done.parameters[0] - done.parameters[1] == 2 * 8 * (4 * width + 3) + 40 * (2 * width + 1)


def test_a_stock_checkpoint_is_checked_and_may_be_of_an_older_version():
    args = Namespace(**{**vars(options(TRANSFORMER)), "arch": "transformer_lm", "_name": "transformer_lm"})
    state = checkpoint_of(stock(), args)
    check("stock.pt", state)
    for name in ("layernorm_embedding", "no_decoder_final_norm", "adaptive_input"):
        delattr(args, name)
    check("stock.pt", state)
    assert near(chances(build_stock_model(state)), chances(stock()), 1e-6)
    state["model"]["decoder.layers.0.fc1.weight"] = torch.zeros(3, 24)
    with pytest.raises(ValueError, match=r"decoder.layers.0.fc1.weight is \[3, 24\]"):
        check("stock.pt", state)


@pytest.mark.parametrize(
    "model, wrong, line",
    [
        (TRANSFORMER, {"frozen": "decoder"}, "--frozen decoder: not supported by gated_transformer_lm"),
        (TRANSFORMER, {"character_embeddings": True}, "--character-embeddings True: not supported"),
        (
            TRANSFORMER,
            {"decoder_attention_heads": 5},
            "--decoder-attention-heads 5: must divide --decoder-embed-dim 24",
        ),
        (TRANSFORMER, {"ffn_group": 5}, "--ffn-group 5: must divide --decoder-ffn-embed-dim 32"),
        (TRANSFORMER, {"adaptive_softmax_cutoff": "__import__('os')"}, "must be ascending numbers of words"),
        (TRANSFORMER, {"tie_adaptive_weights": True}, "--tie-adaptive-weights: needs --adaptive-input"),
        (TRANSFORMER, {"output_scaling": "maybe"}, "--output-scaling maybe: must be on or off"),
        (
            ALL_ATTENTION,
            {"ffn_to_keep": "8"},
            "--ffn-to-keep 8: only the heads of an all_attention_lm have gates; leave it out",
        ),
        (ALL_ATTENTION, {"segment_length": 0}, "--segment-length 0: must be 1 to 100,000"),
        (ALL_ATTENTION, {"persistent_vectors": "many"}, "--persistent-vectors 'many': must be a whole number"),
    ],
)
def test_bad_options_are_refused_in_a_line(model, wrong, line):
    args = Namespace(**{**vars(options(model)), **wrong})
    assert any(line in problem for problem in model_problems(args))


@pytest.mark.parametrize("model", MODELS)
def test_the_options_of_a_yaml_file_build_the_same_model(model):
    config = OmegaConf.create({**vars(options(model)), "max_target_positions": 64, "kept_heads": None})
    OmegaConf.set_struct(config, True)
    torch.manual_seed(0)
    built = shaken(ARCH_MODEL_REGISTRY[model].build_model(config, Task())).eval()
    assert near(chances(built), chances(build(model, max_target_positions=64)), 1e-6)


def test_cut_offs_beyond_the_dictionary_are_refused():
    with pytest.raises(BadInput, match="--adaptive-input-cutoff 10,90: must not be above 40"):
        build(ALL_ATTENTION, "adaptive", adaptive_input_cutoff="10,90", adaptive_softmax_cutoff="10,90")


def test_a_family_without_a_stock_model_has_no_name_for_it():
    assert family_of(Namespace(arch="")) is None
    assert [family.model for family in families()][:3] == ["gated_transformer", TRANSFORMER, ALL_ATTENTION]


def test_a_model_without_some_heads_can_lose_hidden_units():
    """Its checkpoint says nothing of hidden units, which had no gates: they are all there."""
    shape = {"decoder_layers": 1, "decoder_attention_heads": 2, "decoder_embed_dim": 8, "decoder_ffn_embed_dim": 16}
    options = Namespace(arch="gated_transformer_lm", **shape, ffn_group=8, kept_heads={"decoder.self.0": [1]})
    assert kept_problems(options) == []
    assert inventory_of(options).indices() == {"decoder.self.0": [1], "decoder.ffn.0": [0, 1]}
    options.kept_heads = {"decoder.self.0": [1], "decoder.ffn.0": [2]}
    assert kept_problems(options) == ["kept_heads of decoder.ffn.0 [2]: must be some of 0 to 1, ascending, each once"]
