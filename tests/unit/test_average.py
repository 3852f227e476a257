"""The mean of checkpoints, weights and logits, decodes exactly K heads."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_checkpoints import MASK, masked_checkpoint
from tiny_models import HEADS

from dsp_fairseq.checkpoints import reading as checkpoint
from dsp_fairseq.checkpoints.average import average
from dsp_fairseq.checkpoints.building import build_model
from dsp_fairseq.checkpoints.prune import prune
from dsp_fairseq.checkpoints.reading import kept_units, kept_units_of, load, state_of_mask
from dsp_fairseq.errors import BadInput, Failed


def written(folder, count, variant="shared embeddings", seed=0, change=lambda state: None):
    """Checkpoints of one training whose weights and logits differ."""
    generator = torch.Generator().manual_seed(seed)
    paths = []
    for number in range(count):
        state = masked_checkpoint(variant)
        for name, tensor in state["model"].items():
            if tensor.is_floating_point() and not name.endswith(("_float_tensor", ".version")) and "kept" not in name:
                tensor += 60 * torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype)
        kept = kept_units_of({**state, "model": without_mask(state["model"])})
        state["model"].update(state_of_mask(kept.mask, kept.inventory))
        if number:
            change(state)
        paths.append(str(folder / f"{number}.pt"))
        checkpoint.save(state, paths[-1], paths[-1])
    return paths


@settings(max_examples=8)
@given(count=st.integers(2, 5), seed=st.integers(0, 1000))
def test_every_number_is_the_mean_and_the_mask_is_exact(tmp_path_factory, count, seed):
    folder = tmp_path_factory.mktemp("mean")
    paths = written(folder, count, seed=seed)
    done = average(paths, str(folder / "mean.pt"))
    mean, states = load(str(folder / "mean.pt"))["model"], [load(path)["model"] for path in paths]
    for name, tensor in mean.items():
        if "_float_tensor" not in name and "kept" not in name:
            expected = sum(state[name].double() for state in states) / count
            assert torch.allclose(tensor.double(), expected, rtol=1e-5, atol=1e-5), name
    kept = kept_units(str(folder / "mean.pt"))
    largest = sorted(range(HEADS), key=lambda head: -mean["gates.logits"][head])[: sum(MASK)]
    assert torch.nonzero(kept.mask).flatten().tolist() == sorted(largest)
    everywhere = kept.mask.clone()
    for path in paths:
        everywhere &= kept_units(path).mask
    assert torch.equal(mean["gates.kept.heads"].bool(), kept.mask)
    assert (done.heads, done.common.units) == (sum(MASK), int(everywhere.sum()))


def test_shared_embeddings_stay_one_tensor_and_the_model_loads(tmp_path):
    paths = written(tmp_path, 2)
    average(paths, str(tmp_path / "mean.pt"))
    assert (tmp_path / "mean.pt").stat().st_size <= (tmp_path / "0.pt").stat().st_size
    assert sum(a.open_units for a in build_model(load(str(tmp_path / "mean.pt"))).gated_blocks) == sum(MASK)


def without_mask(weights):
    """As versions that stored no mask wrote them."""
    return {name: tensor for name, tensor in weights.items() if not name.startswith("gates.kept.")}


def other_budget(state):
    state["cfg"]["model"].heads_to_keep = 5


def other_shape(state):
    state["cfg"]["model"].encoder_ffn_embed_dim = 31
    for name, tensor in state["model"].items():
        if name.startswith("encoder.layers.") and ".fc" in name and 32 in tensor.shape:
            state["model"][name] = tensor.narrow(tensor.shape.index(32), 0, 31).clone()


def other_head_size(state):
    """Twice as many heads of half the size: weights of the same shapes."""
    del state["model"]["gates.kept.heads"]
    state["cfg"]["model"].encoder_attention_heads *= 2
    state["model"]["gates.logits"] = torch.arange(36, dtype=torch.float64)
    for name in ("mean", "square"):
        state["model"][f"gates.adam.{name}"] = torch.zeros(36, dtype=torch.float64)


def other_function(state):
    state["cfg"]["model"].decoder_normalize_before = True
    state["model"]["decoder.version"] = torch.tensor([1.0])  # an old model, which has no last norm


def another_parameter(state):
    state["cfg"]["model"].layernorm_embedding = True
    for name in ("encoder", "decoder"):
        for part in ("weight", "bias"):
            state["model"][f"{name}.layernorm_embedding.{part}"] = torch.ones(24)


def ranks_of_importance(state):
    state["model"]["gates.logits"] = torch.argsort(torch.argsort(state["model"]["gates.logits"])).double()


@pytest.mark.parametrize(
    "change, words",
    [
        (ranks_of_importance, ["1.pt: its heads have ranks from", "0.pt learned logits"]),
        (other_budget, ["--heads-to-keep 5", "17", "1.pt", "0.pt"]),
        (other_shape, ["--encoder-ffn-embed-dim 31", "with 32", "1.pt"]),
        (another_parameter, ["--layernorm-embedding True", "with", "1.pt"]),
        (other_head_size, ["--encoder-attention-heads 6", "1.pt", "0.pt"]),
        (other_function, ["--decoder-normalize-before True", "1.pt", "0.pt"]),
    ],
)
def test_checkpoints_of_different_trainings_are_refused(tmp_path, change, words):
    paths = written(tmp_path, 2, change=change)
    with pytest.raises(BadInput) as refused:
        average(paths, str(tmp_path / "mean.pt"))
    assert len(str(refused.value).splitlines()) == 1 and all(word in str(refused.value) for word in words)
    assert not (tmp_path / "mean.pt").exists()


def test_models_pruned_to_other_heads_of_the_same_number_are_refused(tmp_path):
    paths = []
    for number, shift in enumerate((0, 1)):
        state = masked_checkpoint()
        state["model"]["gates.logits"] = state["model"]["gates.logits"].detach().clone()
        state["model"]["gates.logits"][:3] = torch.tensor([50.0, -200.0, -200.0]).roll(shift)  # one head of a block
        del state["model"]["gates.kept.heads"]
        masked, small = str(tmp_path / f"masked{number}.pt"), str(tmp_path / f"{number}.pt")
        state["cfg"].update(task={}, criterion={}, common={})
        checkpoint.save(state, masked, masked)
        prune(masked, small)
        paths.append(small)
    shapes = [{name: tensor.shape for name, tensor in load(path)["model"].items()} for path in paths]
    assert shapes[0] == shapes[1]
    with pytest.raises(BadInput, match="other heads of the original model"):
        average(paths, str(tmp_path / "mean.pt"))


def test_one_checkpoint_and_an_existing_file_are_refused(tmp_path):
    paths = written(tmp_path, 2)
    with pytest.raises(BadInput, match="two or more"):
        average(paths[:1], str(tmp_path / "mean.pt"))
    out = str(tmp_path / "mean.pt")
    average(paths, out)
    before = load(out)["model"]["gates.logits"].clone()
    with pytest.raises(BadInput, match="--force"):
        average(paths, out)
    average([*paths, paths[0]], out, force=True)
    assert not torch.equal(before, load(out)["model"]["gates.logits"])


def test_what_is_not_written_as_it_is_fails_and_leaves_nothing(tmp_path, monkeypatch):
    paths = written(tmp_path, 2)

    def save(state, beside, out):
        weights = {**state["model"], "encoder.layers.0.fc1.bias": state["model"]["encoder.layers.0.fc1.bias"] + 1e-3}
        checkpoint.save({**state, "model": weights}, beside, out)

    monkeypatch.setattr("dsp_fairseq.checkpoints.average.save", save)
    with pytest.raises(Failed, match="mean.pt: encoder.layers.0.fc1.bias"):
        average(paths, str(tmp_path / "mean.pt"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.pt", "1.pt"]
