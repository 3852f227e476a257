"""What runs on a GPU is what runs on a CPU: gates, exactly K heads, masked = removed, half precision.

Every test runs on the CPU too, where it checks the test itself. `benchmarks/gpu.sh` runs them where there is a GPU.
"""

import copy
import sys
from pathlib import Path

import pytest
import torch
from fairseq.sequence_generator import SequenceGenerator
from tiny_models import HEADS, Task, batch, build, show_mask

from dsp_fairseq.criterions.label_smoothed_loss import label_smoothed_loss
from dsp_fairseq.gates import (
    gumbel_noise,
    gumbel_soft_top_k,
    hard_top_k,
    straight_through_gumbel_top_k,
    straight_through_top_k,
)
from dsp_fairseq.models.gated_transformer import GatedTransformerModel

no_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")
DEVICES = ["cpu", pytest.param("cuda", marks=no_gpu)]
K = 11
BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def full_precision():
    """No tf32 in products of float32."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    yield
    torch.set_float32_matmul_precision(before)


def gated(**pruning):
    return build(GatedTransformerModel, "post-norm", heads_to_keep=K, **{"pruning_method": "dsp-published", **pruning})


def inputs(device):
    return {name: tensor.to(device) for name, tensor in batch().items()}


def mask_of(count):
    """So many heads, the same on every machine; some blocks are empty."""
    order = torch.randperm(HEADS, generator=torch.Generator().manual_seed(5))
    mask = torch.zeros(HEADS)
    mask[order[:count]] = 1
    return mask.tolist()


def relative(found, wanted):
    found, wanted = found.detach().double().cpu(), wanted.detach().double().cpu()
    return float((found - wanted).norm() / wanted.norm())


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("sample", [gumbel_soft_top_k, straight_through_gumbel_top_k])
def test_sampled_gates_and_their_gradient(device, sample):
    generator = torch.Generator().manual_seed(1)
    start, slope = (torch.randn(72, dtype=torch.float64, generator=generator) for _ in range(2))
    noise = gumbel_noise(72, generator)
    found = {}
    for where in ("cpu", device):
        logits = start.to(where, copy=True).requires_grad_()
        gates = sample(logits, 36, 0.3, noise.to(where))
        (gates * slope.to(where)).sum().backward()
        assert gates.device.type == logits.grad.device.type == where and gates.dtype == torch.float64
        assert float(gates.detach().sum()) == pytest.approx(36)
        found[where] = torch.stack([gates.detach().cpu(), logits.grad.cpu()])
    torch.testing.assert_close(found[device], found["cpu"], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("keep", [0, 1, 35, 36])
def test_exactly_k_of_equal_logits(device, keep):
    logits = torch.tensor([0.5, -1.0, 0.5], dtype=torch.float64).repeat(12).to(device)
    mask = hard_top_k(logits, keep)
    assert mask.device.type == device
    assert mask.cpu().equal(hard_top_k(logits.cpu(), keep))  # of equal logits the first wins, there too
    assert int(mask.sum()) == keep == int(straight_through_top_k(logits, keep).sum())


@pytest.mark.parametrize("device", DEVICES)
def test_loss_and_its_gradient(device):
    generator = torch.Generator().manual_seed(1)
    start = torch.randn(50, 44, generator=generator)
    target = torch.randint(0, 44, (50,), generator=generator)
    found = []
    for where in ("cpu", device):
        logits = start.to(where, copy=True).requires_grad_()
        loss, nll = label_smoothed_loss(logits, target.to(where), 0.1, 1)
        loss.backward()
        found.append(torch.cat([logits.grad.flatten().cpu(), loss.detach().cpu()[None], nll.cpu()[None]]))
    torch.testing.assert_close(found[1], found[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_an_update_samples_in_64_bit_and_moves_the_logits(device, dtype):
    """Gates stay on the CPU; their gradient from the device is that of the CPU."""
    found = []
    for where, kind in (("cpu", torch.float32), (device, dtype)):
        model = gated().to(where, kind).train()
        assert model.gates.logits.device.type == "cpu" and model.gates.logits.dtype == torch.float64
        model.set_num_updates(3)
        model.gates.begin_update()
        output = model(**inputs(where))[0]
        assert output.device.type == where and output.dtype == kind
        gates = model.gates.of_update(torch.device(where))
        assert gates.device.type == where and gates.dtype == torch.float32
        assert float(gates.detach().sum()) == pytest.approx(K, abs=1e-4)
        # a mean of the output, which stays far from the limits of half precision
        (output.float() * torch.linspace(-1, 1, output.size(-1), device=where)).mean().backward()
        gradient = model.gates.gradient()
        assert gradient.dtype == torch.float64 and gradient.abs().sum() > 0
        found.append(gradient.clone())
        before = model.gates.logits.detach().clone()
        model.gates.add_sample_size(1)
        model.gates.step()
        assert not torch.equal(model.gates.logits, before)
    assert relative(found[1], found[0]) < (1e-3 if dtype == torch.float32 else 0.05)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("keep", [0, 1, K, HEADS - 1])
def test_evaluation_keeps_exactly_k_and_gives_the_same_logits(device, keep):
    model = gated()
    show_mask(model, mask_of(keep))
    wanted = copy.deepcopy(model).eval()(**inputs("cpu"))[0]
    moved = model.to(device).eval()
    assert sum(attention.open_units for attention in moved.gated_blocks) == keep
    with torch.no_grad():
        assert relative(moved(**inputs(device))[0], wanted) < 1e-5
        half = moved.half()
        assert sum(attention.open_units for attention in half.gated_blocks) == keep
        assert relative(half(**inputs(device))[0], wanted) < 0.02


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_removed_heads_equal_masked_ones(device, dtype):
    model = gated()
    show_mask(model, mask_of(K))
    model = model.to(device, dtype).eval()
    removed = copy.deepcopy(model)
    removed.make_generation_fast_()
    model.mask_only()
    assert sum(attention.num_heads for attention in removed.gated_blocks) == K
    with torch.no_grad():
        masked, small = (each(**inputs(device))[0] for each in (model, removed))
    assert relative(small, masked) < (1e-5 if dtype == torch.float32 else 0.02)


def beam_search(model, device):
    """Best translations and their scores."""
    generator = SequenceGenerator([model], Task().target_dictionary, beam_size=3, max_len_b=12)
    found = generator.generate([model], {"net_input": inputs(device)})
    return [hypotheses[0]["tokens"].tolist() for hypotheses in found], [float(h[0]["score"]) for h in found]


@pytest.mark.parametrize("device", DEVICES)
def test_beam_search_finds_the_same(device):
    model = gated()
    show_mask(model, mask_of(K))
    model = model.eval()
    wanted, scores = beam_search(model, "cpu")  # step by step with masked heads
    prepared = copy.deepcopy(model).to(device)
    prepared.make_generation_fast_()
    found, own = beam_search(prepared, device)
    assert found == wanted
    assert own == pytest.approx(scores, abs=1e-4)
    half, own = beam_search(prepared.half(), device)  # may differ where two are all but equal
    assert len(half) == len(wanted) and own == pytest.approx(scores, abs=0.05)


@pytest.fixture
def half_trainer(tmp_path, monkeypatch):
    """Makes fairseq's trainer of a tiny model in fp16, and three batches for it."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setattr(sys, "argv", sys.argv)  # fairseq reads --user-dir there
    from random_corpus import write_corpus
    from training_speed import batches_of, precision, trainer_of, variants

    def made(device, method, *options):
        write_corpus(tmp_path / "data", types=60, pairs=20, test=2)
        flags = [*variants("multi30k", 12, 10, "")[method], *options]
        shape = "--encoder-layers 1 --decoder-layers 1 --encoder-embed-dim 32 --decoder-embed-dim 32 --lr 1e-2"
        flags += [*shape.split(), *precision(device, fp16=True), "--max-tokens", "100", "--num-workers", "0"]
        trainer = trainer_of(str(tmp_path / "data"), [*flags, "--max-update", "9"], str(tmp_path))
        weights = trainer.get_model().decoder.layers[0].fc1.weight
        assert weights.dtype == torch.float16 and weights.device.type == device
        return trainer, batches_of(trainer, 3)

    return made


@pytest.mark.parametrize("device", DEVICES)
def test_fp16_training_moves_logits_and_weights(device, half_trainer):
    """On a GPU with fairseq's flat fp32 copy of the weights, which a CPU cannot have."""
    trainer, samples = half_trainer(device, "dsp-published", "--heads-to-keep", "5")
    gates = trainer.get_model().gates
    weights = trainer.get_model().decoder.layers[0].fc1.weight
    before = gates.logits.detach().clone(), weights.detach().clone()
    for sample in samples:
        trainer.train_step([sample])
    assert trainer.get_num_updates() == 3
    assert gates.logits.dtype == torch.float64 and gates.logits.device.type == "cpu"
    assert not torch.equal(gates.logits, before[0]) and gates.logits.isfinite().all()
    weights = trainer.get_model().decoder.layers[0].fc1.weight
    assert not torch.equal(weights, before[1]) and weights.isfinite().all()
    assert int(gates.mask().sum()) == gates.open_counts["heads"] == 5


@pytest.mark.parametrize("device", DEVICES)
def test_fp16_training_moves_scores_and_masks_weights(device, half_trainer):
    """Scores stay in float32 beside the weights, whatever the scale of the loss; what they close stays as it was."""
    options = "--pruning-end 0.2 --block-rows 8 --block-cols 8"
    trainer, samples = half_trainer(device, "movement", *options.split())
    gates, module = trainer.get_model().gates, "decoder.layers.0.fc1"
    gates.plan_search(0, 0, 1.0, 9)
    for sample in samples:
        trainer.train_step([sample])
    gates.set_num_updates(3)
    assert trainer.get_num_updates() == 3 and gates.score_adam.steps == 3
    assert gates.scores.dtype == torch.float32 and gates.scores.device.type == device
    # Adam moves a score by its rate at most, which hides the scale of the loss; its mean does not
    assert gates.scores.any() and gates.scores.abs().max() <= 0.03 and gates.score_adam.mean.abs().max() < 1
    assert 0.3 < gates.further_scalars()["weights_kept"] <= 0.35
    before = trainer.get_model().get_submodule(module).weight.detach().clone()
    [matrix] = [matrix for matrix in gates.layout.matrices if matrix.module == module]
    rows = matrix.rows_open(gates.weight_mask())
    gates.begin_update()
    trainer.train_step([samples[0]])
    moved = (trainer.get_model().get_submodule(module).weight.detach() - before).abs().sum(dim=1)
    assert moved[rows].any() and rows.logical_not().any()
