"""The mean of checkpoints, weights and logits, decodes exactly K heads."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_checkpoints import MASK, masked_checkpoint
from tiny_models import HEADS

from dsp_fairseq import checkpoint
from dsp_fairseq.average import average
from dsp_fairseq.checkpoint import build_model, kept_heads, load
from dsp_fairseq.errors import BadInput


def written(folder, count, variant="shared embeddings", seed=0, change=lambda state: None):
    """Checkpoints of one training whose weights and logits differ."""
    generator = torch.Generator().manual_seed(seed)
    paths = []
    for number in range(count):
        state = masked_checkpoint(variant)
        for name, tensor in state["model"].items():
            if tensor.is_floating_point() and "_float_tensor" not in name:
                tensor += 20 * torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype)
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
        if "_float_tensor" not in name:
            expected = sum(state[name].double() for state in states) / count
            assert torch.allclose(tensor.double(), expected, rtol=1e-5, atol=1e-5), name
    kept = kept_heads(str(folder / "mean.pt"))
    largest = sorted(range(HEADS), key=lambda head: -mean["gates.logits"][head])[: sum(MASK)]
    assert torch.nonzero(kept.mask).flatten().tolist() == sorted(largest)
    everywhere = kept.mask.clone()
    for path in paths:
        everywhere &= kept_heads(path).mask
    assert (done.heads, done.agreed) == (sum(MASK), int(everywhere.sum()))


def test_shared_embeddings_stay_one_tensor_and_the_model_loads(tmp_path):
    paths = written(tmp_path, 2)
    average(paths, str(tmp_path / "mean.pt"))
    assert (tmp_path / "mean.pt").stat().st_size <= (tmp_path / "0.pt").stat().st_size
    assert sum(a.open_heads for a in build_model(load(str(tmp_path / "mean.pt"))).attention) == sum(MASK)


def other_budget(state):
    state["cfg"]["model"].heads_to_keep = 5


def other_shape(state):
    state["cfg"]["model"].encoder_ffn_embed_dim = 31
    for name, tensor in state["model"].items():
        if name.startswith("encoder.layers.") and ".fc" in name and 32 in tensor.shape:
            state["model"][name] = tensor.narrow(tensor.shape.index(32), 0, 31).clone()


def another_parameter(state):
    state["cfg"]["model"].layernorm_embedding = True
    for name in ("encoder", "decoder"):
        for part in ("weight", "bias"):
            state["model"][f"{name}.layernorm_embedding.{part}"] = torch.ones(24)


@pytest.mark.parametrize(
    "change, words",
    [
        (other_budget, ["--heads-to-keep 5", "17", "1.pt", "0.pt"]),
        (other_shape, ["fc1.bias is [31]", "[32]", "1.pt"]),
        (another_parameter, ["layernorm_embedding", "[24]"]),
    ],
)
def test_checkpoints_of_different_trainings_are_refused(tmp_path, change, words):
    paths = written(tmp_path, 2, change=change)
    with pytest.raises(BadInput) as refused:
        average(paths, str(tmp_path / "mean.pt"))
    assert len(str(refused.value).splitlines()) == 1 and all(word in str(refused.value) for word in words)
    assert not (tmp_path / "mean.pt").exists()


def test_one_checkpoint_and_an_existing_file_are_refused(tmp_path):
    paths = written(tmp_path, 2)
    with pytest.raises(BadInput, match="two or more"):
        average(paths[:1], str(tmp_path / "mean.pt"))
    with pytest.raises(BadInput, match="--force"):
        average(paths, paths[0])
    before = load(paths[0])["model"]["gates.logits"].clone()
    average(paths, paths[0], force=True)
    assert not torch.equal(before, load(paths[0])["model"]["gates.logits"])
