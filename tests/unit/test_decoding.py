"""A model prepared for inference against stock fairseq, in every way that fairseq can decode.

The stock model has the same weights and zeros in place of removed heads, so it must find the same
hypotheses with the same scores.
"""

from argparse import Namespace

import numpy as np
import pytest
import torch
from fairseq.dataclass.configs import FairseqConfig, GenerationConfig
from fairseq.models.transformer import TransformerModel
from fairseq.modules import FairseqDropout
from fairseq.tasks.translation import TranslationConfig, TranslationTask
from fairseq.token_generation_constraints import pack_constraints
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from tiny_models import HEADS, Task, batch, build, pair, show_mask, translations

from dsp_fairseq.errors import BadInput
from dsp_fairseq.models.gated_transformer import GatedTransformerModel
from dsp_fairseq.modules import GatedMultiheadAttention
from dsp_fairseq.modules.decoder_steps import FIRST_POSITIONS, StepState, reorder_rows
from dsp_fairseq.structures.surgery import fill_with_zeros, remove_units

UNEVEN = [0, 1, 0] + [1, 1, 1] + [1, 0, 0, 0] * 2 + [0] * 4 + [0, 0, 0, 0] + [0, 1, 1, 1] + [1, 1, 0, 0]
LAST_CROSS_EMPTY = [1] * 18 + [1, 0, 0, 1] + [0, 1, 1, 0] + [0] * 4
NO_CROSS = [1] * 18 + [0] * 12
MASKS = {
    "uneven": UNEVEN,
    "nothing": [0] * HEADS,
    "no self-attention in the decoder": [1] * 6 + [0] * 12 + [1, 0, 0, 1] * 3,
    "everything": [1] * HEADS,
}


def prepared(mask, variant="post-norm", **generation):
    """A stock model with zeros and a gated model with the same heads, both ready for generate."""
    _, gated = pair(variant)
    show_mask(gated, mask)
    inventory = gated.gates.inventory
    after = inventory.keeping(mask)
    stock = build(TransformerModel, variant)
    stock.load_state_dict(fill_with_zeros(remove_units(gated.state_dict(), inventory, after), after))
    for layer in stock.encoder.layers:
        layer.can_use_fastpath = False
    config = OmegaConf.structured(FairseqConfig())
    for name, value in generation.items():
        setattr(config.generation, name, value)
    for model in (stock, gated):
        model.eval()
        model.prepare_for_inference_(config)
    return stock, gated


def same(theirs, ours):
    assert len(theirs) == len(ours)
    for one, other in zip(theirs, ours, strict=True):
        assert [h["tokens"].tolist() for h in one] == [h["tokens"].tolist() for h in other]
        for a, b in zip(one, other, strict=True):
            assert float(a["score"]) == pytest.approx(float(b["score"]), abs=1e-4)
            assert torch.allclose(a["positional_scores"], b["positional_scores"], atol=1e-4)


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS.keys())
@pytest.mark.parametrize(
    "variant", ["post-norm", "pre-norm", "different widths", "projected", "learned positions", "embedding norm"]
)
def test_beam_search(mask, variant):
    stock, gated = prepared(mask, variant)
    same(translations([stock]), translations([gated]))


@settings(max_examples=6)
@given(mask=st.lists(st.integers(0, 1), min_size=HEADS, max_size=HEADS))
def test_beam_search_under_any_mask(mask):
    stock, gated = prepared(mask)
    same(translations([stock]), translations([gated]))


PACKED = pack_constraints([[torch.tensor([7, 9])], [torch.tensor([11])], []])
PREFIX = torch.tensor([[5, 6], [8, 1], [1, 1]])  # of different lengths: 1 is padding
OPTIONS = {
    "greedy": {"beam": 1},
    "nbest": {"nbest": 4},
    "prefix": {"prefix_tokens": PREFIX},
    "constraints": {"constraints": PACKED},
    "unordered constraints": {"constraints": PACKED, "_constraints": "unordered"},
    "sampling": {"sampling": True, "beam": 3},
    "sampling_topk": {"sampling": True, "sampling_topk": 3},
    "sampling_topp": {"sampling": True, "sampling_topp": 0.6},
    "diverse_beam": {"diverse_beam_groups": 2},
    "diversity_rate": {"diversity_rate": 0.5},
    "match_source_len": {"match_source_len": True},
    "no_repeat_ngram": {"no_repeat_ngram_size": 2},
    "unkpen and lenpen": {"unkpen": 3, "lenpen": 0.4},
    "temperature": {"temperature": 2.0},
    "min_len": {"min_len": FIRST_POSITIONS + 2},
    "unnormalized": {"unnormalized": True},
    "score_reference": {"score_reference": True},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_every_option_of_decoding(options):
    options = dict(options)
    if "constraints" in options:
        name = options.pop("_constraints", "ordered")
        tensor = options.pop("constraints")
        stock, gated = prepared(UNEVEN)
        both = [constrained([model], name, tensor) for model in (stock, gated)]
        return same(*both)
    stock, gated = prepared(UNEVEN)
    return same(translations([stock], **options), translations([gated], **options))


def constrained(models, kind, tensor):
    """`build_generator` reads the name of the kind, `inference_step` the tensor."""
    dictionary = Task().source_dictionary
    task = TranslationTask(TranslationConfig(), dictionary, dictionary)
    args = Namespace(**{**vars(GenerationConfig(beam=4, max_len_b=12)), "constraints": kind})
    generator = task.build_generator(models, args)
    return task.inference_step(generator, models, {"net_input": batch()}, constraints=tensor)


def test_ensembles_even_with_a_stock_model():
    stock, gated = prepared(UNEVEN)
    other_stock, other_gated = prepared(MASKS["everything"], "pre-norm")
    same(translations([stock, other_stock]), translations([gated, other_gated]))
    same(translations([stock, other_stock]), translations([stock, other_gated]))


@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_alignments(kind):
    """Of all heads of the last layer, so with all of them there; removed heads have no weights to show."""
    stock, gated = prepared(MASKS["everything"], print_alignment=kind)
    theirs, ours = (translations([model], print_alignment=kind) for model in (stock, gated))
    same(theirs, ours)
    for one, other in zip(theirs, ours, strict=True):
        for a, b in zip(one, other, strict=True):
            alignments = [[[float(w) for w in word] for word in h["alignment"]] for h in (a, b)]  # pairs, or weights
            assert alignments[0] and np.allclose(*alignments, atol=1e-3)


@pytest.mark.parametrize("asked_late", [False, True], ids=["fairseq-generate", "hub interface"])
def test_alignments_are_those_of_the_last_layer_that_attends_to_the_encoder(asked_late):
    """The hub interface prepares a model before it is asked for alignments."""
    _, gated = prepared(LAST_CROSS_EMPTY, **({} if asked_late else {"print_alignment": "soft"}))
    before = translations([gated]) if asked_late else []
    found = translations([gated], print_alignment="soft")
    source = batch()["src_tokens"]
    for row, hypotheses in enumerate(found):
        best = hypotheses[0]
        read = torch.cat([torch.tensor([2]), best["tokens"][:-1]])[None]
        length = int(batch()["src_lengths"][row])
        with torch.no_grad():
            _, extra = gated(source[row : row + 1, -length:], torch.tensor([length]), read, alignment_layer=1)
        shown = [[float(weight) for weight in word] for word in best["alignment"]]
        assert np.allclose(np.array(shown), _soft(extra["attn"][0][0]), atol=1e-3)
    if asked_late:
        same(before, translations([gated]))


def _soft(attention):
    """[target, source] as fairseq's soft alignment writes it."""
    return np.array([[float(weight) for weight in word] for word in attention])


@pytest.mark.parametrize("generation", [{}, {"print_alignment": "hard"}], ids=["hub interface", "fairseq-generate"])
def test_alignments_are_refused_where_nothing_attends_to_the_encoder(generation):
    with pytest.raises(BadInput, match="--print-alignment, --replace-unk: no decoder.cross head is kept"):
        _, gated = prepared(NO_CROSS, **generation)
        translations([gated], print_alignment="hard")


def test_attention_of_a_layer_without_heads_is_none_and_heads_are_counted_among_the_open_ones():
    _, gated = prepared(LAST_CROSS_EMPTY)
    with torch.no_grad():
        assert gated(**batch(), alignment_layer=2)[1]["attn"] == [None]
        both, first, second = (
            gated(**batch(), alignment_layer=1, alignment_heads=heads)[1]["attn"][0] for heads in (None, 1, 2)
        )
    assert torch.equal(both, second) and not torch.equal(both, first)


class TestRetainedDropout:
    NAMES = (
        "MultiheadAttention",
        "TransformerEncoder",
        "TransformerDecoder",
        "TransformerEncoderLayer",
        "TransformerDecoderLayer",
    )

    def kept_on(self, model, name):
        """Names of the modules whose dropout stays on."""
        config = OmegaConf.structured(FairseqConfig())
        config.generation.retain_dropout, config.generation.retain_dropout_modules = True, name
        model.prepare_for_inference_(config)
        return {
            path
            for path, module in model.named_modules()
            if isinstance(module, FairseqDropout) and module.apply_during_inference
        }

    @pytest.mark.parametrize("name", NAMES)
    def test_gated_modules_answer_to_the_names_of_stock_ones(self, name):
        stock, gated = pair("post-norm")
        theirs = name if not name.endswith("Layer") else [f"{name}Base"]  # as fairseq 0.12.2 calls its layers
        expected = self.kept_on(stock, theirs if isinstance(theirs, list) else [theirs])
        assert expected and self.kept_on(gated, name) == expected

    def test_several_names_as_a_command_line_or_a_list_gives_them(self):
        found = [
            self.kept_on(pair("post-norm")[1], asked)
            for asked in (
                '["TransformerEncoder", "GatedMultiheadAttention"]',
                ["TransformerEncoderBase", "MultiheadAttention"],
            )
        ]
        assert found[0] == found[1] and "encoder.dropout_module" in found[0] and len(found[0]) == 9

    def test_a_name_of_no_module_is_told(self, caplog):
        assert self.kept_on(pair("post-norm")[1], "TransformerModel,Conv") == set()
        [line] = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        assert "--retain-dropout-modules Conv" in line and all(name in line for name in self.NAMES)

    @pytest.mark.parametrize("name", [None, *NAMES])
    def test_they_drop_in_every_step(self, name):
        retained = dict(retain_dropout=True, **({} if name is None else {"retain_dropout_modules": name}))
        _, gated = prepared(UNEVEN, **retained)

        def scores(p):
            for module in gated.modules():
                if isinstance(module, FairseqDropout):
                    module.p = p
            return [float(score) for h in translations([gated], beam=1) for score in h[0]["positional_scores"][:3]]

        assert scores(0.5) == scores(0.5)  # the same seed
        assert all(dropped != whole for dropped, whole in zip(scores(0.5), scores(0.0), strict=True))


def test_layers_that_were_dropped_in_training_are_all_decoded():
    options = {"encoder_layerdrop": 0.9, "decoder_layerdrop": 0.9}
    gated = build(GatedTransformerModel, "post-norm", pruning_method="none", **options)
    stock = build(TransformerModel, "post-norm", **options)
    gated.load_state_dict(stock.state_dict())
    for model in (stock, gated):  # in training mode, as fairseq loads them
        model.prepare_for_inference_(OmegaConf.structured(FairseqConfig()))
    for layer in stock.encoder.layers:
        layer.can_use_fastpath = False
    same(translations([stock]), translations([gated]))


def test_a_prepared_model_stays_as_it_is():
    _, gated = prepared(UNEVEN)
    before = translations([gated])
    gated.eval()
    same(before, translations([gated]))
    assert (gated.gates.inventory.units, gated.gates.inventory.original_units) == (sum(UNEVEN), HEADS)
    assert int(gated.gates.mask().sum()) == sum(UNEVEN)


@pytest.mark.parametrize("change", [torch.nn.Module.half, torch.nn.Module.bfloat16, torch.nn.Module.double])
def test_a_prepared_model_can_be_cast(change):
    _, gated = prepared(UNEVEN)
    before = translations([gated], beam=1)
    change(gated)
    after = translations([gated], beam=1)
    assert [len(h) for h in before] == [len(h) for h in after]
    scores = torch.tensor([[float(h[0]["positional_scores"][0]) for h in each] for each in (before, after)])
    assert torch.allclose(*scores, atol=0.05)


def test_one_sentence_equals_the_batch():
    _, gated = prepared(UNEVEN)
    sample = batch()
    together = translations([gated])
    for row, length in enumerate(sample["src_lengths"]):
        net_input = {"src_tokens": sample["src_tokens"][row : row + 1, -length:], "src_lengths": length.view(1)}
        alone = translations([gated], {"net_input": net_input, "target": sample["prev_output_tokens"][:1]})
        limit = FIRST_POSITIONS
        for a, b in zip(together[row], alone[0], strict=True):
            assert a["tokens"][:limit].tolist() == b["tokens"][:limit].tolist()


def test_pruned_heads_are_gone_and_nothing_is_held_twice():
    _, gated = pair("post-norm")
    full = sum(p.numel() for p in gated.parameters())
    show_mask(gated, UNEVEN)
    gated.eval()
    gated.prepare_for_inference_(OmegaConf.structured(FairseqConfig()))
    translations([gated])  # fuses the projections
    encoder_heads, decoder_heads = 6 - sum(UNEVEN[:6]), 24 - sum(UNEVEN[6:])  # removed, of 8 and of 6 rows
    left = full - encoder_heads * 8 * (4 * 24 + 3) - decoder_heads * 6 * (4 * 24 + 3)
    assert sum(p.numel() for p in gated.parameters()) == left
    held = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors_of(gated) if t.numel()}
    buffers = sum(buffer.untyped_storage().nbytes() for buffer in gated.buffers())
    positions = sum(s.embed_positions.weights.numel() for s in (gated.encoder, gated.decoder))
    # a byte of the mask and eight of the start of its logit for each head
    assert sum(held.values()) <= 4 * (left + positions) + buffers + 9 * HEADS


def tensors_of(model):
    """Every tensor that a module holds: parameters, buffers, and what lies about in attributes."""
    for module in model.modules():
        yield from [*module.parameters(recurse=False), *module.buffers(recurse=False)]
        for value in vars(module).values():
            yield from (t for t in (value if isinstance(value, tuple) else [value]) if isinstance(t, torch.Tensor))


class TestStepState:
    """The past of every hypothesis against a list of lists that is reordered the slow way."""

    @settings(max_examples=30)
    @given(data=st.data())
    def test_past_follows_the_order(self, data):
        width, rows = 4, 6
        state, expected = StepState(), [[] for _ in range(rows)]
        for step in range(data.draw(st.integers(1, 2 * FIRST_POSITIONS + 3))):
            if step and data.draw(st.booleans()):
                size = data.draw(st.integers(1, rows))
                order = data.draw(st.lists(st.integers(0, rows - 1), min_size=size, max_size=size))
                state.reorder(torch.tensor(order))
                expected, rows = [list(expected[i]) for i in order], size
            x = torch.randn(rows, width)
            state.begin_step(x, width)
            for start, end in ((0, 3), (3, 4)):  # two blocks
                state.append(start, end, x[:, start:end])
            for row in range(rows):
                expected[row].append(x[row])
            past = torch.cat([state.past(0, 3), state.past(3, 4)], dim=2)
            # [positions, rows, width]
            assert torch.equal(past, torch.stack([torch.stack(row) for row in expected], dim=1))
            state.end_step()

    @pytest.mark.parametrize(
        "orders", [[[0, 0, 1, 1, 2, 2]], [[0, 0, 0, 1, 2, 2]], [[0, 0, 1, 1, 2, 2], [4, 5, 0, 1]], [[2, 2, 0, 0]]]
    )
    def test_rows_meet_the_encoder_of_their_sentence(self, orders):
        encoded = torch.randn(5, 3, 8)  # [source, sentences, D]
        padding = torch.tensor([[0, 0, 0, 0, 0], [0, 0, 0, 1, 1], [0, 1, 1, 1, 1]], dtype=torch.bool)
        attention = GatedMultiheadAttention(8, 2, encoder_decoder_attention=True).eval()
        out, sentences, state = {"encoder_out": [encoded], "encoder_padding_mask": [padding]}, range(3), StepState()
        for order in orders:
            out = reorder_rows(out, torch.tensor(order))
            sentences = [sentences[i] for i in order]
            state.group_rows(out, len(order))
            k, _v = state.cross(0, attention, out)
            group = len(order) // len(k)
            for row, sentence in enumerate(sentences):
                key = attention.k_proj(encoded[:, sentence])  # [source, D] -> [source, heads, d]
                assert torch.allclose(k[row // group], key.view(5, 2, 4).transpose(0, 1), atol=1e-5)
                masked = state.source_mask[row // group, 0, 0].isneginf()
                assert torch.equal(masked, padding[sentence])
