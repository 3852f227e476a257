"""Whole layers in a model: a closed layer is the identity, and a model without it computes the same."""

import copy
import json
from argparse import Namespace

import pytest
import torch
from fairseq.models.transformer import TransformerModel
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_checkpoints import checkpoint_of
from tiny_models import SHAPE, VARIANTS, Task, batch, build, near, pair, translations

from dsp_fairseq.checkpoints.prune import prune
from dsp_fairseq.checkpoints.reading import kept_units, load
from dsp_fairseq.errors import BadInput
from dsp_fairseq.gates.methods import METHODS
from dsp_fairseq.importance.gradient import negative_log_likelihood, sentence_gradients
from dsp_fairseq.importance.run import rank
from dsp_fairseq.importance.settings import Settings
from dsp_fairseq.models.gated_transformer import GatedTransformerModel as GATED
from dsp_fairseq.modules.layer_gates import LayerGate
from dsp_fairseq.structures.inventory import Inventory
from dsp_fairseq.structures.nesting import rebuilt
from dsp_fairseq.structures.surgery import remove_units

TASK = Task()
SETS = [([0], [0, 2]), ([1], [1]), ([0, 1], [2])]  # layers of encoder and decoder that are kept


def gated(variant, encoder, decoder, **more):
    """A model that keeps these layers, and the stock model of its weights."""
    given = f"encoder={len(encoder)},decoder={len(decoder)}"
    stock, _ = pair(variant)
    model = build(GATED, variant, **{"pruning_method": "uniform", "layers_to_keep": given, **more})
    model.load_state_dict(stock.state_dict())
    logits = model.gates.logits.detach().clone()
    logits[-5:] = torch.tensor(
        [float(layer in kept) for count, kept in ((2, encoder), (3, decoder)) for layer in range(count)]
    )
    model.gates.set_logits(logits)
    return model.eval(), stock.eval()


def without_layers_by_hand(variant, stock, encoder, decoder):
    """The stock model with only these layers, built by fairseq, with their weights under new numbers."""
    small = TransformerModel.build_model(
        Namespace(**{**SHAPE, **VARIANTS[variant], "encoder_layers": len(encoder), "decoder_layers": len(decoder)}),
        TASK,
    )
    weights = {}
    for name, tensor in stock.state_dict().items():
        stack, _, rest = name.partition(".layers.")
        if rest:
            number, _, own = rest.partition(".")
            kept = {"encoder": encoder, "decoder": decoder}[stack]
            if int(number) not in kept:
                continue
            name = f"{stack}.layers.{kept.index(int(number))}.{own}"
        weights[name] = tensor
    small.load_state_dict(weights)
    for layer in small.encoder.layers:
        layer.can_use_fastpath = False
    return small.eval()


@torch.no_grad()
def logits_of(model):
    return model(**batch())[0]


@pytest.mark.parametrize("variant", VARIANTS)
def test_open_layers_equal_stock(variant):
    model, stock = gated(variant, [0, 1], [0, 1, 2])
    assert near(logits_of(model), logits_of(stock))
    model._gate(torch.ones(model.gates.inventory.units))  # gates of 1, as in a search
    assert near(logits_of(model), logits_of(stock))


@pytest.mark.parametrize("variant", ["post-norm", "pre-norm", "different widths", "checkpointed"])
@pytest.mark.parametrize("encoder, decoder", SETS)
def test_a_closed_layer_is_gone(variant, encoder, decoder):
    model, stock = gated(variant, encoder, decoder)
    expected = logits_of(without_layers_by_hand(variant, stock, encoder, decoder))
    assert near(logits_of(model), expected)
    left_out = copy.deepcopy(model)
    model.mask_only()
    assert near(logits_of(model), expected)
    inventory = model.gates.inventory
    after = inventory.keeping(model.gates.mask().tolist())
    small = build(GATED, variant, pruning_method="none", encoder_layers=len(encoder), decoder_layers=len(decoder))
    small.load_state_dict(remove_units(model.state_dict(), inventory, after))
    assert near(logits_of(small.eval()), expected)
    assert small.gates.inventory.indices() == rebuilt(after).indices()
    left_out.remove_pruned_units()
    assert near(logits_of(left_out), expected)
    assert (len(left_out.encoder.layers), len(left_out.decoder.layers)) == (len(encoder), len(decoder))


def test_nothing_of_a_closed_layer_is_computed():
    model, _ = gated("post-norm", [1], [0, 2])
    for layer in (model.encoder.layers[0], model.decoder.layers[1]):
        for parameter in layer.parameters():
            parameter.data.fill_(float("nan"))
    assert logits_of(model).isfinite().all()


@pytest.mark.parametrize("variant", ["post-norm", "pre-norm"])
@pytest.mark.parametrize("encoder, decoder", SETS)
def test_beam_search_equals_the_model_without_these_layers(variant, encoder, decoder):
    model, stock = gated(variant, encoder, decoder)
    masked = copy.deepcopy(model)  # decodes without the preparation that removes layers
    masked.make_generation_fast_ = lambda **kwargs: None
    small = without_layers_by_hand(variant, stock, encoder, decoder)
    expected = translations([small])
    model.prepare_for_inference_(Namespace(generation=Namespace(beam=4)))
    for other in (model, masked):
        for hypotheses, own in zip(expected, translations([other]), strict=True):
            assert [h["tokens"].tolist() for h in hypotheses] == [h["tokens"].tolist() for h in own]
            assert near(torch.stack([h["score"] for h in own]), torch.stack([h["score"] for h in hypotheses]))


@pytest.mark.parametrize("dropped", [{}, {"encoder_layerdrop": 0.5, "decoder_layerdrop": 0.5}])
def test_alignments_come_from_the_last_layer_that_is_left(dropped):
    model, stock = gated("post-norm", [0], [0, 1], **dropped)
    small = without_layers_by_hand("post-norm", stock, [0], [0, 1])
    expected = small(**batch())[1]["attn"][0]
    assert near(model(**batch())[1]["attn"][0], expected)
    model.make_generation_fast_(need_attn=True)
    assert model.decoder.num_layers == 2 and near(model(**batch())[1]["attn"][0], expected)


@pytest.mark.parametrize("variant", ["post-norm", "pre-norm", "checkpointed"])
def test_gradients_of_layer_gates_against_finite_differences(variant):
    model, _ = gated(variant, [0, 1], [0, 1, 2])
    model = model.double()
    for layer in model.decoder.layers:
        layer.need_attn = False  # attention weights that are returned are float32
    start = torch.rand(5, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    weight = torch.randn(logits_of(model).shape, dtype=torch.float64, generator=torch.Generator().manual_seed(4))

    def loss(gates):
        model.encoder.layer_gates.gate(gates[:2])
        model.decoder.layer_gates.gate(gates[2:])
        return (model(**batch(), alignment_layer=99)[0] * weight).sum()

    gates = start.clone().requires_grad_()
    loss(gates).backward()
    for layer in range(5):
        step = torch.zeros(5, dtype=torch.float64).index_fill(0, torch.tensor([layer]), 1e-5)
        with torch.no_grad():
            slope = (loss(start + step) - loss(start - step)) / 2e-5
        assert float(gates.grad[layer]) == pytest.approx(float(slope), rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_gradient_of_a_gate_does_not_overflow_half_precision(dtype):
    gate = LayerGate()
    x, output = torch.full((2, 400), -30.0, dtype=dtype), torch.full((2, 400), 30.0, dtype=dtype)
    for value, expected in ((0.0, x), (1.0, output)):
        gate.set(torch.tensor(value, requires_grad=True))
        mixed = gate.mix(x, output)
        assert torch.equal(mixed, expected) and mixed.dtype == dtype
        (mixed.float() * 30).sum().backward()
        assert gate.gate.grad.item() == pytest.approx(60 * 30 * 800)


def test_every_parameter_gets_a_gradient_where_layers_are_closed():
    model, _ = gated("post-norm", [1], [1])
    model.train()
    model.set_num_updates(3)
    model(**batch())[0].sum().backward()
    assert [name for name, own in model.named_parameters() if own.grad is None] == []
    assert not any(own.grad.any() for own in model.encoder.layers[0].parameters())


def test_a_model_in_training_can_be_copied():
    model = build(GATED, "post-norm", pruning_method="ste", layers_to_keep="encoder=1,decoder=2").train()
    model(**batch())[0].sum().backward()
    copied = copy.deepcopy(model)
    assert copied.encoder.layer_gates._stack is copied.encoder
    assert copied.encoder.layers[0].layer_gate.gate is None


@pytest.mark.parametrize("method", [name for name, cls in METHODS.items() if cls.learns])
@pytest.mark.parametrize("variant", ["post-norm", "checkpointed"])
def test_a_loss_moves_the_logits_of_layers(method, variant):
    more = {
        "dsp": {"search_updates": 10, "search_warmup_updates": 0},
        "l0": {"search_updates": 10, "initial_log_odds": 0.0},
        "layerwise-l0": {"l0_penalty": 0.01, "initial_log_odds": 0.0},
    }
    more["dsp-published"] = {"initial_temperature": 1.0}
    model = build(GATED, variant, pruning_method=method, layers_to_keep="encoder=1,decoder=2", **more.get(method, {}))
    model.train()
    model.set_num_updates(3)
    before = model.gates.logits.detach().clone()
    (model(**batch())[0] ** 2).sum().backward()
    model.gates.add_sample_size(1)
    model.gates.step()
    moved = (model.gates.logits.detach() - before)[-5:]
    assert (
        moved.any() if method in ("l0", "layerwise-l0") else moved.all()
    )  # a hard-concrete gate that is clipped has no gradient
    assert not model.gates.logits.detach()[:30].ne(before[:30]).any()  # no budget in heads: they have no choice


def test_layer_drop_leaves_gates_with_their_layers():
    model, _ = gated("post-norm", [0], [0, 2], encoder_layerdrop=0.5, decoder_layerdrop=0.5)
    assert type(model.encoder.layers).__name__ == "LayerDropModuleList"
    model.train()
    model.set_num_updates(1)
    model(**batch())
    closed = [not model.encoder.layers[1].layer_gate.closed, not model.decoder.layers[1].layer_gate.closed]
    assert closed == [False, False] and model.encoder.layer_gates.open_units == 1
    model.eval().remove_pruned_units()
    assert (len(model.encoder.layers), len(model.decoder.layers)) == (1, 2)


def write(path, model, **options):
    torch.save(checkpoint_of(model, **options), path)
    return str(path)


@pytest.mark.parametrize("variant", ["post-norm", "pre-norm"])
def test_a_dense_checkpoint_has_fewer_layers_and_is_stock(tmp_path, variant):
    model, stock = gated(variant, [1], [0, 2])
    given = {"layers_to_keep": "encoder=1,decoder=2", "pruning_method": "uniform", **VARIANTS[variant]}
    path, small, dense = write(tmp_path / "trained.pt", model, **given), tmp_path / "small.pt", tmp_path / "dense.pt"
    told = str(prune(path, str(small)))
    assert "layers: 2 + 3 => 1 + 2 of 2 + 3" in told and "| encoder.layers  | 2 => 1" in told
    prune(path, str(dense), dense=True)
    state = load(str(dense))
    own = state["cfg"]["model"]
    assert (own.encoder_layers, own.decoder_layers, own.arch) == (1, 2, "transformer")
    assert not hasattr(own, "layers_to_keep") and not hasattr(own, "kept_heads")
    assert all(tensor.abs().sum() > 0 for name, tensor in state["model"].items() if "layers" in name)
    plain = TransformerModel.build_model(own, TASK)
    plain.load_state_dict(state["model"])
    expected = logits_of(without_layers_by_hand(variant, stock, [1], [0, 2]))
    for layer in plain.encoder.layers:
        layer.can_use_fastpath = False
    assert near(logits_of(plain.eval()), expected)
    kept = kept_units(str(small))
    assert kept.inventory.structures == ("heads",) and kept.inventory.units == 3 + 4 * 4
    assert [name for name in load(str(small))["model"] if name.startswith("gates.kept")] == ["gates.kept.heads"]


def test_heads_and_layers_are_removed_together(tmp_path):
    model, _ = gated("post-norm", [1], [0, 2], heads_to_keep="9")
    given = {"layers_to_keep": "encoder=1,decoder=2", "heads_to_keep": "9", "pruning_method": "uniform"}
    path, small = write(tmp_path / "trained.pt", model, **given), str(tmp_path / "small.pt")
    assert prune(path, small).difference < 1e-4
    kept = kept_units(small)
    assert kept.inventory.units == 9 and kept.inventory.original_units == 3 + 16
    again = prune(small, str(tmp_path / "again.pt"), heads_to_keep="4")
    assert again.after.units == 4
    fewer = prune(path, str(tmp_path / "fewer.pt"), layers_to_keep="encoder=1,decoder=1", heads_to_keep="5")
    assert str(fewer).count("layers: 2 + 3 => 1 + 1 of 2 + 3") == 1
    assert kept_units(str(tmp_path / "fewer.pt")).inventory.units == 5


@settings(max_examples=25, deadline=None)
@given(bits=st.lists(st.booleans(), min_size=30, max_size=30), layers=st.sampled_from(SETS))
def test_any_heads_in_the_layers_that_are_left(bits, layers):
    model, _ = _SHARED[repr(layers)]
    inventory = model.gates.inventory
    kept = [layer in own for own, count in zip(layers, (2, 3), strict=True) for layer in range(count)]
    mask = [*bits, *kept]
    blocks = []
    for block, piece in zip(inventory.blocks, inventory.split(mask), strict=True):
        stack = layers[0] if block.part == "encoder" else layers[1]
        inside = block.structure == "layers" or block.layer in stack
        blocks += [bool(unit) and inside for unit in piece]
    masked = torch.tensor(blocks)
    for module, piece in zip(model.gated_blocks, model.gates.per_block(masked), strict=True):
        module.open_only(torch.nonzero(piece).flatten())
    expected = logits_of(model)
    after = inventory.keeping(blocks)
    left = rebuilt(after)
    small = build(
        GATED, "post-norm", pruning_method="none", kept_heads=left.indices(), encoder_layers=len(layers[0]),
        decoder_layers=len(layers[1]),
    )  # fmt: skip
    small.load_state_dict(remove_units(model.state_dict(), inventory, after))
    assert near(logits_of(small.eval()), expected)
    assert isinstance(left, Inventory) and small.gates.inventory.indices() == left.indices()


_SHARED = {repr(layers): gated("post-norm", *layers) for layers in SETS}


def test_gradients_of_sentences_with_respect_to_layers_against_a_loop():
    model, _ = gated("post-norm", [1], [0, 2])
    sample = {"net_input": batch(), "target": batch()["prev_output_tokens"].roll(-1, 1)}
    found = sentence_gradients(model, sample)[:, -3:]
    open_layers = [model.encoder.layers[1], model.decoder.layers[0], model.decoder.layers[2]]
    for number in range(3):
        inputs = {name: tensor[number : number + 1] for name, tensor in sample["net_input"].items()}
        inputs["src_tokens"] = inputs["src_tokens"][:, -int(inputs["src_lengths"]) :]
        gates = torch.ones(3, requires_grad=True)
        for layer, gate in zip(open_layers, gates, strict=True):
            layer.layer_gate.set(gate)
        negative_log_likelihood(model, {"net_input": inputs, "target": sample["target"][number]}).backward()
        assert torch.allclose(found[number], gates.grad, rtol=1e-3, atol=1e-4)
        for layer in open_layers:
            layer.layer_gate.set()


def test_magnitude_of_layers_against_a_loop(tmp_path):
    model = build(GATED, "post-norm", pruning_method="none")
    path, out = write(tmp_path / "trained.pt", model), tmp_path / "ranked.pt"
    chosen = {"score": "magnitude", "normalise": "none", "layers_to_keep": "encoder=1,decoder=2"}
    result = rank(path, str(out), Settings(**chosen))
    expected = [
        sum(float(own.detach().double().square().sum()) for own in layer.parameters() if own.dim() == 2) ** 0.5
        for layer in [*model.encoder.layers, *model.decoder.layers]
    ]
    assert result.ranking.importance[-5:].tolist() == pytest.approx(expected)
    kept = kept_units(str(out))
    best = [
        sorted(range(len(own)), key=own.__getitem__)[-count:] for own, count in ((expected[:2], 1), (expected[2:], 2))
    ]
    assert [torch.nonzero(piece).flatten().tolist() for piece in kept.mask[-5:].split([2, 3])] == [*map(sorted, best)]
    assert json.loads(result.as_json())["layers_to_keep"] == {"encoder": 1, "decoder": 2}
    assert kept.options.layers_to_keep == "encoder=1,decoder=2" and kept.options.heads_to_keep is None
    with pytest.raises(BadInput, match="--step 2: .* not with --layers-to-keep"):
        rank(path, str(tmp_path / "other.pt"), Settings(**chosen, step=2))
