"""Files of movement: what prune, the dense form, an average and another choice of options make of them."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from movement_models import OPTIONS, movement_model, random_scores
from tiny_checkpoints import checkpoint_of
from tiny_models import VARIANTS, batch, near

from dsp_fairseq.checkpoints.average import average
from dsp_fairseq.checkpoints.building import build_model, build_stock_model
from dsp_fairseq.checkpoints.prune import prune
from dsp_fairseq.checkpoints.reading import kept_units_of, load, model_options, save
from dsp_fairseq.errors import BadInput

MATRICES = (
    "0.self_attn.v_proj",
    "1.self_attn.out_proj",
    "encoder_attn.out_proj",
    "encoder_attn.v_proj",
    "0.fc1",
    "2.fc2",
)


def file_of(folder, name, model, **options):
    path = str(folder / name)
    save(checkpoint_of(model, **{**OPTIONS, **options}), path, path)
    return path


def logits_of(model):
    with torch.no_grad():
        return model(**batch())[0]


@settings(max_examples=12)
@given(
    variant=st.sampled_from(sorted(VARIANTS)),
    seed=st.integers(0, 999),
    level=st.floats(0.05, 0.95),
    closed=st.sets(st.sampled_from(MATRICES)),
    dense=st.booleans(),
)
def test_what_is_masked_is_removed(tmp_path_factory, variant, seed, level, closed, dense):
    """Random scores, thresholds and empty blocks: the file that prune writes has the same logits."""
    folder = tmp_path_factory.mktemp("prune")
    model = random_scores(movement_model(variant), seed, level, tuple(closed))
    expected = logits_of(model)
    path = file_of(folder, "masked.pt", model, **VARIANTS[variant])
    done = prune(path, str(folder / "small.pt"), dense=dense)
    state = load(str(folder / "small.pt"))
    small = (build_stock_model if dense else build_model)(state)
    assert near(logits_of(small), expected, 1e-4)
    assert dense or kept_units_of(state).per_block == kept_units_of(load(path)).per_block
    assert done.parameters[1] == sum(p.numel() for p in small.parameters()) or dense


def test_what_adds_the_same_to_every_word_is_removed_and_its_bias_taken_over(tmp_path):
    model = random_scores(movement_model(), 1, 0.0)  # no block of weights is closed
    model.encoder.layers[0].self_attn.v_proj.weight.data[8:16] = 0.0  # head 1, whose bias is left
    model.decoder.layers[1].fc1.weight.data[5] = 0.0
    expected = logits_of(model)
    prune(file_of(tmp_path, "masked.pt", model), str(tmp_path / "small.pt"))
    state = load(str(tmp_path / "small.pt"))
    assert [kept for kept in kept_units_of(state).per_block if kept in (2, 15)] == [2, 15]
    assert near(logits_of(build_model(state)), expected, 1e-4)


@pytest.mark.parametrize("share", ["30%", None])
def test_the_mean_of_files_has_the_masks_of_the_mean_scores(tmp_path, share):
    given = {} if share is None else {"weights_to_keep": share}
    level = 0.5 if share is None else 0.3
    models = [random_scores(movement_model(**given), seed, level) for seed in (1, 2, 3)]
    paths = [file_of(tmp_path, f"{number}.pt", model, **given) for number, model in enumerate(models)]
    average(paths, str(tmp_path / "mean.pt"))
    state = load(str(tmp_path / "mean.pt"))
    scores = torch.stack([model.gates.scores for model in models]).mean(dim=0)
    assert torch.allclose(state["model"]["gates.scores"], scores, atol=1e-6)
    mean = build_model(state).gates
    wanted = random_scores(movement_model(**given), 1, level).gates
    wanted.scores.copy_(state["model"]["gates.scores"])
    wanted._mask = None
    assert torch.equal(mean.weight_mask(), wanted.weight_mask()) and not mean.weight_mask().all()
    assert torch.equal(kept_units_of(state).mask, wanted.mask())
    if share is not None:
        assert mean.layout.weights_in(mean.weight_mask()) <= 0.3 * mean.layout.weights


def test_scaled_outputs_of_older_files_change_nothing():
    """Heads that are taken out added nothing, so nothing is to be made up for."""
    plain, scaled = (random_scores(movement_model(**given), 3, 0.75) for given in ({}, {"output_scaling": "on"}))
    last = plain.gates.per_block(plain.gates.mask())[7]  # decoder.cross.2, the nearest to the output
    assert 0 < last.sum() < len(last)
    assert torch.equal(logits_of(plain), logits_of(scaled))


@pytest.mark.parametrize("name, value", [("block_rows", 2), ("block_cols", 4), ("block_shape", "head")])
def test_blocks_of_another_shape_do_not_decode(name, value):
    """Every score belongs to a block of the training."""
    trained = random_scores(movement_model(), 5, 0.3)
    options = {**OPTIONS, name: value}
    if name == "block_shape":
        options.update(block_rows=None, block_cols=None)
    with pytest.raises(BadInput) as error:
        movement_model(
            **options,
            overridden={known: OPTIONS.get(known) for known in options if options[known] != OPTIONS.get(known)},
        )
    assert f"--model-overrides \"{{'{name}': {value!r}}}\"" in str(error.value)
    assert model_options(checkpoint_of(trained, **OPTIONS)).block_rows == OPTIONS["block_rows"]
