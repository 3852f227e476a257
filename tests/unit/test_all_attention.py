"""All-attention against a loop over the formulas; its memory; what a head owns."""

import math

import pytest
import torch
from tiny_language_models import ALL_ATTENTION, OWN, batch, build, chances, options, show_mask
from tiny_models import near

from dsp_fairseq.families import inventory_of
from dsp_fairseq.modules.all_attention import AllAttention, Past, shifted
from dsp_fairseq.structures.all_attention import ALL_ATTENTION_HEADS
from dsp_fairseq.structures.surgery import remove_units

WIDTH, HEADS, PERSISTENT = 12, 3, 4
SIZE = WIDTH // HEADS


def attention(persistent=PERSISTENT):
    torch.manual_seed(0)
    found = AllAttention(WIDTH, HEADS, persistent, dropout=0.0).double().eval()
    for parameter in found.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return found


def by_loops(layer, x, distances, before, gates):
    """The output for one sentence x [words, D] after the words ``before`` [words, D], as the papers write it."""
    weights, everything, rows = dict(layer.named_parameters()), torch.cat([before, x]), []
    for i in range(len(before), len(everything)):
        context = []
        for h in range(HEADS):
            own = slice(h * SIZE, (h + 1) * SIZE)
            query = weights["q_proj.weight"][own] @ everything[i]
            logits, values = [], []
            for j in range(i + 1):
                key = weights["k_proj.weight"][own] @ everything[j]
                relative = weights["r_proj.weight"][own] @ distances[i - j]
                content, position = (weights[f"query_bias.{name}"][own] for name in ("content", "position"))
                logits.append(((query + content) @ key + (query + position) @ relative) / math.sqrt(SIZE))
                values.append(weights["v_proj.weight"][own] @ everything[j])
            for n in range(PERSISTENT):
                logits.append(query @ (math.sqrt(SIZE) * weights["persistent.keys"][n, own]) / math.sqrt(SIZE))
                values.append(math.sqrt(PERSISTENT) * weights["persistent.values"][n, own])
            context.append(gates[h] * (torch.stack(logits).softmax(0) @ torch.stack(values)))
        rows.append(weights["out_proj.weight"] @ torch.cat(context) + weights["out_proj.bias"])
    return torch.stack(rows)


@pytest.mark.parametrize("gates", [(1.0, 1.0, 1.0), (1.0, 0.0, 1.0), (0.3, 1.0, 0.0)])
def test_it_is_what_the_papers_write(gates):
    layer, generator = attention(), torch.Generator().manual_seed(3)
    x, before, distances = (torch.randn(n, WIDTH, dtype=torch.float64, generator=generator) for n in (4, 3, 9))
    gates = torch.tensor(gates, dtype=torch.float64)
    layer.gate(gates)
    past = layer.past_of(before.unsqueeze(1))
    output, now = layer(x.unsqueeze(1), distances, past)
    # softmax and gates are in float32
    assert near(output.squeeze(1), by_loops(layer, x, distances, before, gates), 1e-6)
    assert now.keys.shape == (1, HEADS, 7, SIZE)
    if gates.eq(gates.bool()).all():
        layer.open_only(torch.nonzero(gates).flatten())
        past = layer.past_of(before.unsqueeze(1))
        assert near(layer(x.unsqueeze(1), distances, past)[0], output, 1e-6)


def test_gates_have_the_gradient_of_finite_differences():
    layer, x = attention(), torch.randn(3, 2, WIDTH, dtype=torch.float64)
    distances = torch.randn(3, WIDTH, dtype=torch.float64)

    def output(gates):
        layer.gate(gates)
        return layer(x, distances)[0].square().sum()

    # gates work in float32: differences of a step that float32 resolves
    gates = torch.tensor([0.7, 0.2, 1.0], requires_grad=True)
    [gradient] = torch.autograd.grad(output(gates), gates)
    for head in range(HEADS):
        step = torch.zeros(HEADS)
        step[head] = 2**-10
        difference = (output(gates.detach() + step) - output(gates.detach() - step)) / 2**-9
        assert abs(float(gradient[head] - difference)) <= 1e-3 * max(1.0, abs(float(difference)))


def test_shifting_finds_the_distance_of_every_pair():
    words, keys = 3, 5
    by_distance = torch.arange(keys).flip(0).expand(2, words, keys).contiguous()  # each entry says its distance
    found = shifted(by_distance)
    for i in range(words):
        for j in range(keys - words + i + 1):
            assert found[0, i, j] == i + keys - words - j


def test_a_block_without_heads_is_its_output_bias():
    layer, x = attention(), torch.randn(3, 2, WIDTH, dtype=torch.float64)
    layer.open_only(torch.empty(0, dtype=torch.int64))
    output, now = layer(x, torch.zeros(3, WIDTH, dtype=torch.float64))
    assert torch.equal(output, layer.out_proj.bias.expand_as(x)) and now.keys.shape == (2, 0, 3, SIZE)
    layer.train()(x, torch.zeros(3, WIDTH, dtype=torch.float64))[0].sum().backward()
    assert all(parameter.grad is not None for parameter in layer.parameters())


def test_a_head_owns_419968_parameters_at_the_published_geometry():
    layer = AllAttention(512, 8, 2000, dropout=0.2)
    everything = sum(parameter.numel() for parameter in layer.parameters())
    found = []
    for heads in (5, 1, 0):
        layer.remove_all_but(torch.arange(heads))
        found.append(sum(parameter.numel() for parameter in layer.parameters()))
    bias = 512
    assert everything == 8 * 419_968 + bias and found == [heads * 419_968 + bias for heads in (5, 1, 0)]
    published = options(ALL_ATTENTION, decoder_embed_dim=512, decoder_attention_heads=8, persistent_vectors=2000)
    assert {block.cost for block in inventory_of(published).blocks} == {419_968}


def test_parameters_of_a_checkpoint_fall_in_proportion():
    model = build(ALL_ATTENTION)
    before, weights = model.gates.inventory, model.state_dict()
    size = {sum(mask): sum(t.numel() for t in remove_units(weights, before, before.keeping(mask)).values()) - sum(mask)
            for mask in ([1] * 6, [1, 1, 1, 0, 0, 0], [0, 1, 0, 0, 0, 1], [0] * 6)}  # fmt: skip
    cost = before.blocks[0].cost
    assert [size[kept] - size[0] for kept in (2, 3, 6)] == [cost * kept for kept in (2, 3, 6)]
    sliced = sum(t.numel() for t in ALL_ATTENTION_HEADS.change(
        {name.split("layers.0.self_attn.")[1]: t for name, t in weights.items() if "layers.0.self_attn." in name},
        lambda tensor, axis: tensor).values())  # fmt: skip
    assert sliced == 3 * cost


# memory


@pytest.mark.parametrize("mask", [[1] * 6, [1, 0, 1, 0, 0, 0]])
def test_segments_one_by_one_with_memory_are_the_whole_text(mask):
    model, words = show_mask(build(ALL_ATTENTION), mask), batch((22, 22))["src_tokens"]
    expected, segment, memory, found = (
        chances(model, {"src_tokens": words}),
        OWN[ALL_ATTENTION]["segment_length"],
        [],
        [],
    )
    with torch.no_grad():
        for start in range(0, words.size(1), segment):
            output = model.decoder(words[:, start : start + segment], memory=memory)
            memory = output[1]["memory"]
            found.append(model.get_normalized_probs(output, log_probs=True))
    assert near(torch.cat(found, dim=1), expected, 1e-5)
    assert {len(layer) for layer in memory} == {OWN[ALL_ATTENTION]["memory_length"]}
    if sum(mask) == 6:
        forgetful = [chances(model, {"src_tokens": part}) for part in words.split(segment, dim=1)]
        assert not near(torch.cat(forgetful, dim=1), expected, 1e-3)


def test_streams_that_are_read_together_keep_memories_of_their_own():
    model = build(ALL_ATTENTION)
    segment = OWN[ALL_ATTENTION]["segment_length"]
    streams = torch.randint(4, 40, (3, 5 * segment), generator=torch.Generator().manual_seed(5))

    def read(words):
        memory, found = None, []
        with torch.no_grad():
            for part in words.split(2 * segment, dim=1):  # calls of several segments, the last of one
                output = model.decoder(part, memory=memory)
                memory = output[1]["memory"]
                found.append(model.get_normalized_probs(output, log_probs=True))
        return torch.cat(found, dim=1)

    together = read(streams)
    for row in range(len(streams)):
        assert near(together[row], read(streams[row : row + 1])[0], 1e-5)
    changed = streams.clone()
    changed[1, :segment] = 4 + (changed[1, :segment] - 3) % 30
    other = read(changed)
    assert near(other[[0, 2]], together[[0, 2]], 1e-6)
    assert not near(other[1, 2 * segment :], together[1, 2 * segment :], 1e-3)  # its memory is of the earlier call


def test_a_word_sees_its_segment_and_its_memory_and_nothing_before():
    model = build(ALL_ATTENTION, decoder_layers=1)  # with one layer, what is seen is seen directly
    words = batch((12,))["src_tokens"]  # the third segment of 4 words sees the words from 2 on: memory is 6
    for place, seen in ((1, False), (2, True)):
        changed = words.clone()
        changed[0, place] = 4 + (int(words[0, place]) - 3) % 30
        same = near(chances(model, {"src_tokens": changed})[0, 8:], chances(model, {"src_tokens": words})[0, 8:], 1e-6)
        assert same is not seen


def test_no_gradient_flows_into_the_memory():
    model = build(ALL_ATTENTION, decoder_layers=1)
    words = batch((8,))["src_tokens"]
    seen = []
    handle = model.decoder.embed_tokens.register_forward_hook(lambda _, __, output: seen.append(output))
    output = model.decoder(words)[0]
    handle.remove()
    [gradient] = torch.autograd.grad(output[:, 4:].sum(), seen[0])
    assert float(gradient[:, :4].abs().max()) == 0.0 and float(gradient[:, 4:].abs().min()) > 0.0


def test_past_is_in_the_shape_that_beams_reorder():
    layer = attention()
    past = layer.past_of(torch.randn(5, 2, WIDTH, dtype=torch.float64))
    assert isinstance(past, Past) and past.keys.size(0) == past.values.size(0) == 2
