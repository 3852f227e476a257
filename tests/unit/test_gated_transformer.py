"""METHODS law 1 and its neighbours: the gated transformer against fairseq's own."""

import copy

import pytest
import torch
from fairseq.sequence_generator import SequenceGenerator
from tiny_models import VARIANTS, Task, batch, build, near, pair, show_mask, stock_attention

from dsp_fairseq.models.gated_transformer import GatedTransformerModel
from dsp_fairseq.modules import GatedMultiheadAttention


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("variant", VARIANTS)
def test_open_gates_equal_stock_logits(variant, training):
    stock, gated = pair(variant)
    for model in (stock, gated):
        model.train(training)
    theirs, ours = stock(**batch())[0], gated(**batch())[0]
    assert near(ours, theirs)


MASKS = {  # flat over 2 blocks of 3 heads, then 6 of 4
    "one block empty": [1, 0, 1] + [0, 0, 0] + [1, 1, 0, 1] * 6,
    "uneven": [0, 1, 0] + [1, 1, 1] + [1, 0, 0, 0] * 3 + [0, 0, 0, 0] + [0, 1, 1, 1] * 2,
    "nothing": [0] * 30,
    "everything": [1] * 30,
}


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS.keys())
@pytest.mark.parametrize("variant", ["post-norm", "pre-norm", "different widths"])
def test_heads_left_out_equal_gates_of_zero(variant, mask):
    stock, gated = pair(variant)
    show_mask(gated, mask)
    gated.eval()
    assert sum(a.open_units for a in gated.gated_blocks) == sum(mask)
    left_out = gated(**batch())[0]
    for attention, piece in zip(gated.gated_blocks, gated.gates.per_block(torch.tensor(mask).float()), strict=True):
        attention.gate(piece)
    gated_out = gated(**batch())[0]
    # a closed head in stock code: its columns of the output projection are zero
    stock.eval()
    for attention, piece in zip(stock_attention(stock), gated.gates.per_block(torch.tensor(mask)), strict=True):
        attention.out_proj.weight.data *= piece.repeat_interleave(attention.head_dim)
    reference = stock(**batch())[0]
    assert near(left_out, reference)
    assert near(gated_out, reference)


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS.keys())
def test_incremental_decoding_equals_the_full_forward(mask):
    _, gated = pair("post-norm")
    show_mask(gated, mask)
    gated.eval()
    sample = batch()
    encoder_out = gated.encoder(sample["src_tokens"], sample["src_lengths"])
    prefix = sample["prev_output_tokens"]
    full, _ = gated.decoder(prefix, encoder_out=encoder_out)
    state = {}
    for step in range(1, prefix.size(1) + 1):
        if step == 3:  # beam search swaps hypotheses: here nobody moves, but the cache is rebuilt
            gated.decoder.reorder_incremental_state_scripting(state, torch.arange(3))
        logits, _ = gated.decoder(prefix[:, :step], encoder_out=encoder_out, incremental_state=state)
        rows = prefix[:, step - 1] != 1  # padding attends differently in the two paths
        assert near(logits[rows, -1], full[rows, step - 1])


def test_batch_equals_single_sentences():
    _, gated = pair("post-norm")
    show_mask(gated, MASKS["uneven"])
    gated.eval()
    sample = batch()
    together = gated(**sample)[0]
    for row, length in enumerate(sample["src_lengths"]):
        alone = gated(
            sample["src_tokens"][row : row + 1, -length:],
            length.view(1),
            sample["prev_output_tokens"][row : row + 1, :length],
        )[0]
        assert near(together[row, :length], alone[0])


def test_attention_weights_equal_stock():
    stock, gated = pair("post-norm")
    for model in (stock, gated):
        model.eval()
    theirs, ours = (model(**batch())[1]["attn"][0] for model in (stock, gated))
    assert ours.shape == theirs.shape
    assert near(ours, theirs)


@pytest.mark.parametrize("method", ["dsp", "dsp-published", "ste", "uniform"])
def test_evaluation_runs_under_exactly_k_heads_whatever_training_does(method):
    torch.manual_seed(0)
    options = {"search_updates": 100} if method == "dsp" else {}
    _, gated = pair("post-norm", pruning_method=method, heads_to_keep=11, **options)
    gated.train()
    gated.set_num_updates(60)
    gated(**batch())
    gated.eval()
    assert sum(attention.open_units for attention in gated.gated_blocks) == 11
    first = gated(**batch())[0]
    assert near(gated(**batch())[0], first)


@pytest.mark.parametrize("method", ["dsp", "dsp-published", "ste"])
def test_a_loss_moves_the_logits(method):
    options = {"search_updates": 100} if method == "dsp" else {}
    _, gated = pair("post-norm", pruning_method=method, heads_to_keep=11, **options)
    gated.train()
    gated.set_num_updates(60)
    gated(**batch())[0].square().sum().backward()
    assert gated.gates.gradient().abs().sum() > 0


def test_after_the_search_training_and_evaluation_agree():
    _, gated = pair("post-norm", pruning_method="dsp", heads_to_keep=11, search_updates=50)
    gated.set_num_updates(50)
    gated.train()
    training = gated(**batch())[0]
    gated.eval()
    assert near(training, gated(**batch())[0])


@pytest.mark.parametrize("method", ["ste", "dsp-published"])
def test_logits_that_start_at_random_follow_from_the_seed_and_leave_the_weights_as_they_are(method):
    first, second = (build(GatedTransformerModel, "post-norm", pruning_method=method, heads_to_keep=9) for _ in "ab")
    assert torch.equal(first.gates.logits, second.gates.logits) and first.gates.logits.std() > 0
    uniform = build(GatedTransformerModel, "post-norm", pruning_method="uniform", heads_to_keep=9)
    assert all(torch.equal(one, other) for one, other in zip(first.parameters(), uniform.parameters(), strict=True))


def test_weights_of_removed_heads_do_not_matter_not_even_their_biases():
    _, gated = pair("post-norm")
    show_mask(gated, MASKS["uneven"])
    gated.eval()
    before = gated(**batch())[0]
    attention = gated.gated_blocks[0]
    d = attention.head_dim
    for projection in (attention.q_proj, attention.k_proj, attention.v_proj):
        projection.weight.data[:d] = 7.0
        projection.bias.data[:d] = 7.0
    gated.eval()
    assert near(gated(**batch())[0], before)


def test_stock_checkpoint_fills_in_the_gates_and_drops_the_copies():
    stock, gated = pair("post-norm")
    assert "encoder.layers.0.in_proj_weight" in stock.state_dict()
    assert "encoder.layers.0.in_proj_weight" not in gated.state_dict()
    assert "gates.logits" in gated.state_dict()
    ours = {name for name in gated.state_dict() if not name.startswith("gates.")}
    assert ours < set(stock.state_dict())


def test_gates_are_no_parameters_of_the_model():
    _, gated = pair("post-norm", pruning_method="ste", heads_to_keep=3)
    assert not [name for name, _ in gated.named_parameters() if "gates" in name]
    assert gated.half().gates.logits.dtype == torch.float64


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS.keys())
def test_beam_search_equals_stock_with_the_heads_zeroed(mask):
    """Reordering of the cache included: same hypotheses, same scores."""
    stock, gated = pair("post-norm")
    show_mask(gated, mask)
    for attention, piece in zip(stock_attention(stock), gated.gates.per_block(torch.tensor(mask)), strict=True):
        attention.out_proj.weight.data *= piece.repeat_interleave(attention.head_dim)
    sample = {"net_input": batch()}
    hypotheses = []
    for model in (stock, gated):
        generator = SequenceGenerator([model], Task().target_dictionary, beam_size=4, max_len_b=8)
        hypotheses.append(generator.generate([model], sample))
    for theirs, ours in zip(*hypotheses, strict=True):
        assert [h["tokens"].tolist() for h in theirs] == [h["tokens"].tolist() for h in ours]
        for a, b in zip(theirs, ours, strict=True):
            assert float(a["score"]) == pytest.approx(float(b["score"]), abs=1e-4)


@pytest.mark.parametrize("method", ["ste", "uniform", "none"])
def test_every_parameter_gets_a_gradient(method):
    """Data parallel training waits for all of them, those of empty blocks included."""
    _, gated = pair("post-norm", pruning_method=method, heads_to_keep=30 if method == "none" else 2)
    gated.train()
    gated(**batch())[0].sum().backward()
    assert not [name for name, parameter in gated.named_parameters() if parameter.grad is None]


def test_a_model_in_training_can_be_copied():
    """fairseq's EMA does."""
    _, gated = pair("post-norm", pruning_method="ste", heads_to_keep=7)
    gated.train()
    gated(**batch())
    twin = copy.deepcopy(gated).eval()
    gated.eval()
    assert near(twin(**batch())[0], gated(**batch())[0])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_gates_of_half_precision_models_have_float32_gradients(dtype):
    attention = GatedMultiheadAttention(512, 4, self_attention=True).to(dtype)
    gates = torch.ones(4, requires_grad=True)
    attention.gate(gates)
    weight = attention._weights().output
    weight.backward(200 * attention.out_proj.weight.detach() + 100)
    expected = (200 * attention.out_proj.weight.float() + 100) * attention.out_proj.weight.float()
    # [D, heads*d] -> [D, heads, d] -> [heads]
    expected = expected.view(512, 4, 128).sum(dim=(0, 2)).detach()
    assert weight.dtype == dtype and gates.grad.isfinite().all()
    assert torch.allclose(gates.grad, expected, rtol=1e-2)


@pytest.mark.parametrize("method", ["dsp", "ste", "dsp-published", "l0"])
@pytest.mark.parametrize("frozen", [{}, {"frozen": "encoder"}, {"frozen": "decoder"}, {"pruning_mode": "pipelined"}])
def test_checkpointed_activations_give_the_same_gradient_of_the_logits(method, frozen):
    gradients = []
    for variant in ("post-norm", "checkpointed"):
        options = {**{"dsp": {"search_updates": 50}, "l0": {"l0_penalty": 0.1}}.get(method, {}), **frozen}
        _, gated = pair(variant, pruning_method=method, heads_to_keep=9, **options)
        gated.gates.set_logits(torch.linspace(-1, 1, 30))
        gated.train()
        gated.set_num_updates(30)
        gated(**batch())[0].square().sum().backward()
        gradients.append(gated.gates.gradient())
    assert near(*gradients, tolerance=1e-4) and gradients[0][:6].any()


def test_a_second_backward_at_evaluation_works():
    _, gated = pair("post-norm", pruning_method="uniform", heads_to_keep=7)
    gated.eval()
    for _ in range(2):
        gated(**batch())[0].sum().backward()
    assert gated.gated_blocks[0].q_proj.weight.grad is not None


def test_a_model_that_kept_its_heads_can_be_cast():
    _, gated = pair("post-norm", pruning_method="uniform", heads_to_keep=7)
    gated.eval()
    with torch.no_grad():
        before = gated(**batch())[0]
        assert near(gated.double()(**batch())[0], before)


def test_changed_logits_show_at_the_next_evaluation_and_in_settled_training():
    _, gated = pair("post-norm", pruning_method="uniform", heads_to_keep=3)
    gated.eval()
    gated.gates.set_logits(torch.arange(30.0))
    for mode in (False, True):
        gated.train(mode)
        gated(**batch())
        assert [attention.open_units for attention in gated.gated_blocks] == [0] * 7 + [3]


@pytest.mark.parametrize("method", ["dsp", "dsp-published", "ste", "uniform"])
def test_no_block_keeps_more_than_its_cap(method):
    options = {"search_updates": 100} if method == "dsp" else {}
    _, gated = pair("post-norm", pruning_method=method, heads_to_keep=15, max_heads_per_block=2, **options)
    gated.gates.set_logits(torch.linspace(1, -1, 30))  # asks for the first blocks only
    gated.eval()
    assert [attention.open_units for attention in gated.gated_blocks] == [2] * 7 + [1]
    gated.train()
    gated.set_num_updates(99)  # the budget is nearly K
    gated(**batch())
    if method != "dsp-published":
        gates = [attention._gates for attention in gated.gated_blocks if attention._gates is not None]
        assert all(piece.sum() <= 2 for piece in gates)


@pytest.mark.parametrize("method", ["dsp", "dsp-published", "ste", "l0"])
@pytest.mark.parametrize("update", [0, 20, 60])
def test_pipelined_learns_the_logits_and_nothing_else(method, update):
    options = {"dsp": {"search_updates": 50}, "l0": {"l0_penalty": 0.1}}.get(method, {})
    _, gated = pair("post-norm", pruning_method=method, heads_to_keep=11, pruning_mode="pipelined", **options)
    assert [name for name, p in gated.named_parameters() if p.requires_grad] == ["unused"]
    gated.train()
    gated.set_num_updates(update)
    gated(**batch())[0].square().sum().backward()  # fairseq does, also when nothing is left to learn
    assert all(p.grad is None for name, p in gated.named_parameters() if name != "unused")
    assert gated.unused.grad is not None and float(gated.unused.grad) == 0
    learns = method != "dsp" or 0 < update < 50
    assert (gated.gates.gradient() is not None) == learns
    gated.eval()
    assert sum(attention.open_units for attention in gated.gated_blocks) == 11


@pytest.mark.parametrize("part, other", [("encoder", "decoder"), ("decoder", "encoder")])
def test_frozen_parts_do_not_learn(part, other):
    _, gated = pair("post-norm", pruning_method="l0", l0_penalty=0.1, frozen=part, prunable=f"{other}.self")
    gated.train()
    gated(**batch())[0].square().sum().backward()
    for name, parameter in gated.named_parameters():
        assert (parameter.grad is None) == name.startswith(part), name
    gated.gates.set_logits(torch.full_like(gated.gates.logits, -9))
    gated.eval()
    assert gated.gates.inventory.kept_per_kind(gated.gates.mask())[f"{other}.self"] == 0
    assert int(gated.gates.mask().sum()) == 30 - (6 if other == "encoder" else 12)


def test_weights_pass_between_pipelined_and_joint_models():
    options = {"pruning_method": "ste", "heads_to_keep": 9}
    _, joint = pair("post-norm", **options)
    _, pipelined = pair("post-norm", pruning_mode="pipelined", **options)
    joint.load_state_dict(pipelined.state_dict(), strict=True)
    pipelined.load_state_dict(joint.state_dict(), strict=True)
