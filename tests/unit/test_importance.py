"""Importance of heads: gradients against finite differences of the stock model, removal against slow loops."""

import itertools
from argparse import Namespace
from fractions import Fraction

import fairseq.utils
import numpy as np
import pytest
import torch
from fairseq.data import LanguagePairDataset
from fairseq.models.transformer import TransformerModel
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tiny_checkpoints import MASK, checkpoint_of, masked_checkpoint, without_removed_heads
from tiny_models import HEADS, VARIANTS, Task, batch, build, near, pair, stock_attention

from dsp_fairseq.checkpoints.building import build_model
from dsp_fairseq.checkpoints.reading import KeptUnits, kept_units_of
from dsp_fairseq.errors import BadInput, Failed
from dsp_fairseq.families.transformer import KINDS
from dsp_fairseq.families.transformer.inventory import transformer_inventory
from dsp_fairseq.gates.choice import Choice, Share
from dsp_fairseq.gates.limits import Limits
from dsp_fairseq.importance.checkpoints import decoding, model_of, with_gates, writing_checkpoint
from dsp_fairseq.importance.gradient import GradientImportance, sentence_gradients
from dsp_fairseq.importance.ranking import normalised, ranks, remove_units, survivors, unit_counts
from dsp_fairseq.importance.run import chooser
from dsp_fairseq.importance.sentences import Sentences
from dsp_fairseq.importance.settings import Settings
from dsp_fairseq.importance.weights import magnitude_importance, random_importance
from dsp_fairseq.options.budget import Budget
from dsp_fairseq.options.plan import Plan

END = 2
LENGTHS = [(7, 3), (2, 6), (4, 4), (1, 1)]  # words of source and target


def some_sentences(batches):
    """Random pairs of these lengths, in batches of the given indices."""
    generator = torch.Generator().manual_seed(5)

    def words(length):
        return torch.cat([torch.randint(4, 44, (length,), generator=generator), torch.tensor([END])])

    sides = list(zip(*[[words(length) for length in lengths] for lengths in LENGTHS], strict=True))
    source, target = ([side, [len(words) for words in side]] for side in sides)
    dictionary = Task().source_dictionary
    dataset = LanguagePairDataset(*source, dictionary, *target, dictionary, shuffle=False)
    return Sentences(dataset, [np.array(indices) for indices in batches], too_long=0)


ALONE, TOGETHER = [[0], [1], [2], [3]], [[0, 1, 2, 3]]


class TestGradient:
    """I_h = mean over sentences of |dL(x)/dg_h|."""

    @pytest.mark.parametrize("mask", [[1] * HEADS, MASK], ids=["all heads", "masked"])
    @pytest.mark.parametrize("variant", ["post-norm", "pre-norm", "different widths"])
    def test_is_the_finite_difference_of_the_stock_model(self, monkeypatch, variant, mask):
        """One sentence and one head at a time, float64: the head's columns of the output projection, scaled."""
        stock, gated = pair(variant)
        importance = GradientImportance(gated.eval(), some_sentences(TOGETHER))(torch.tensor(mask, dtype=torch.bool))
        monkeypatch.setattr(fairseq.utils, "softmax", lambda x, dim, onnx_trace=False: x.softmax(dim))  # not in float32
        expected = slow_importance(stock.double().eval(), mask)
        assert (expected[torch.tensor(mask) == 1] > 1e-2).all()
        assert near(importance, expected, 1e-4)

    def test_sentences_of_a_batch_do_not_mix(self):
        _, gated = pair("post-norm")
        gated.eval().requires_grad_(False)
        together = next(sentence_gradients(gated, sample) for sample in some_sentences(TOGETHER))
        alone = [sentence_gradients(gated, sample)[0] for sample in some_sentences(ALONE)]
        order = [0, 2, 1, 3]  # the collater sorts by source length
        assert together.shape == (4, HEADS)
        assert near(together, torch.stack([alone[index] for index in order]), 1e-4)

    def test_of_the_gates_of_the_training(self):
        """The other place to put a gate, for one sentence: the columns of the output projection."""
        _, gated = pair("post-norm")
        gated.eval().requires_grad_(False)
        [sample] = some_sentences([[0]])
        gates = torch.ones(HEADS, requires_grad=True)
        found = sentence_gradients(gated, sample)[0]
        for attention, piece in zip(gated.gated_blocks, gated.gates.per_block(gates), strict=True):
            attention.gate(piece)
        scores = gated(**sample["net_input"])[0].log_softmax(-1)
        loss = -scores.gather(2, sample["target"].unsqueeze(2)).sum()
        assert near(found, torch.autograd.grad(loss, gates)[0], 1e-4)

    def test_weights_are_frozen_and_the_model_is_left_as_it_was(self):
        _, gated = pair("post-norm")
        gated.eval()
        before = {name: tensor.clone() for name, tensor in gated.state_dict().items()}
        expected = gated(**batch())[0]
        told = []
        found = GradientImportance(gated, some_sentences([[0, 1, 2], [3]]), told.append)
        found(torch.ones(HEADS, dtype=torch.bool))
        assert told == [3, 1]
        assert not any(p.requires_grad or p.grad is not None for p in gated.parameters())
        assert all(
            torch.equal(tensor, before[name]) for name, tensor in gated.state_dict().items() if "_float" not in name
        )
        after = gated(**batch())[0]
        assert near(after, expected) and not after.requires_grad

    def test_no_dropout(self):
        _, gated = pair("post-norm")
        dropping = build(type(gated), "post-norm", pruning_method="none", dropout=0.5, attention_dropout=0.5)
        dropping.load_state_dict(gated.state_dict())
        everything = torch.ones(HEADS, dtype=torch.bool)
        first, second = (GradientImportance(m.eval(), some_sentences(ALONE))(everything) for m in (gated, dropping))
        assert near(first, second, 1e-4)

    def test_closed_heads_have_none_and_none_open_is_no_error(self):
        _, gated = pair("post-norm")
        found = GradientImportance(gated.eval(), some_sentences(TOGETHER))
        mask = torch.tensor(MASK, dtype=torch.bool)
        importance = found(mask)
        assert (importance[~mask] == 0).all() and (importance[mask] > 0).all()
        assert [attention.open_units for attention in gated.gated_blocks] == [2, 0, 3, 3, 3, 0, 3, 3]
        assert (found(torch.zeros(HEADS, dtype=torch.bool)) == 0).all()


def slow_importance(stock, mask, by=1e-6):
    for attention, piece in zip(stock_attention(stock), transformer_inventory(2, 3, 3, 4).split(mask), strict=True):
        attention.out_proj.weight.data *= torch.tensor(piece).repeat_interleave(attention.head_dim)
    pairs = some_sentences(ALONE).dataset
    return torch.tensor(
        [
            sum(abs(difference(stock, sample, attention, head, by)) for sample in pairs) / len(pairs)
            for attention in stock_attention(stock)
            for head in range(attention.num_heads)
        ],
        dtype=torch.float64,
    )


@torch.no_grad()
def difference(stock, sample, attention, head, by):
    """(L(1 + by) - L(1 - by)) / 2 by"""
    weight, size = attention.out_proj.weight, attention.head_dim
    before, losses = weight.clone(), []
    for gate in (1 + by, 1 - by):
        weight[:, head * size : (head + 1) * size] *= gate
        losses.append(loss_of(stock, sample["source"], sample["target"]))
        weight.copy_(before)
    return (losses[0] - losses[1]) / (2 * by)


def loss_of(stock, source, target):
    previous = torch.cat([target[-1:], target[:-1]])
    scores = stock(source[None], torch.tensor([len(source)]), previous[None])[0][0].log_softmax(-1)
    return -sum(float(scores[place, word]) for place, word in enumerate(target))


class TestWeights:
    def test_magnitude_is_the_norm_of_all_that_a_head_owns(self):
        state = without_removed_heads(masked_checkpoint())
        for model in (build_model(masked_checkpoint()), build_model(state)):
            expected = []
            for attention in model.gated_blocks:
                size = attention.head_dim
                for head in range(attention.num_heads):
                    own = slice(head * size, (head + 1) * size)
                    parts = [getattr(attention, f"{name}_proj").weight[own] for name in "qkv"]
                    parts.append(attention.out_proj.weight[:, own])
                    expected.append(sum(x**2 for part in parts for x in part.flatten().tolist()) ** 0.5)
            assert magnitude_importance(model).tolist() == pytest.approx(expected, rel=1e-5)
        assert len(expected) == sum(MASK)

    def test_random_is_uniform_and_seeded(self):
        numbers = random_importance(10000, 7)
        assert torch.equal(numbers, random_importance(10000, 7))
        assert not torch.equal(numbers, random_importance(10000, 8))
        assert numbers.min() >= 0 and numbers.max() < 1
        quarters = torch.histc(numbers.float(), 4, 0, 1)
        assert ((quarters - 2500).abs() < 200).all()


@given(st.lists(st.lists(st.floats(0, 1e6, allow_subnormal=False), max_size=4), min_size=1, max_size=4))
def test_normalised_is_divided_by_the_norm_of_the_block(blocks):
    flat = torch.tensor([x for block in blocks for x in block], dtype=torch.float64)
    expected = []
    for block in blocks:
        norm = torch.linalg.vector_norm(torch.tensor(block, dtype=torch.float64)).item()
        expected += [x / norm if norm else x for x in block]
    found = normalised(flat, list(map(len, blocks)))
    assert found.isfinite().all()
    assert found.tolist() == pytest.approx(expected, rel=1e-9, abs=1e-300)
    for block, piece in zip(blocks, found.split(list(map(len, blocks))), strict=True):
        assert not any(block) or float(piece.norm()) == pytest.approx(1, abs=1e-6) or max(block) < 1e-150


@st.composite
def budgets(draw):
    heads = draw(st.lists(st.integers(0, 12), min_size=1, max_size=3))
    return heads, [draw(st.integers(0, there)) for there in heads], draw(st.none() | st.integers(1, 12))


@settings(max_examples=300)
@given(budgets())
def test_unit_counts_end_exactly_and_fall_in_turn(budget):
    heads, keep, step = budget
    plan = unit_counts(heads, keep, step)
    surplus = sum(heads) - sum(keep)
    assert plan[-1] == tuple(keep)
    totals = [sum(counts) for counts in [heads, *plan]]
    removed = [before - after for before, after in itertools.pairwise(totals)]
    if step is None or not surplus:
        assert removed == [surplus]
    else:
        assert removed[:-1] == [step] * (-(-surplus // step) - 1) and 1 <= removed[-1] <= step
    left, slow = list(heads), []
    for size in removed:  # Sainte-Laguë: the next head goes from the largest of surplus / (2 removed + 1)
        for _ in range(size):
            claims = [
                Fraction(a - k, 2 * (a - n) + 1) if n > k else -1 for a, k, n in zip(heads, keep, left, strict=True)
            ]
            left[claims.index(max(claims))] -= 1
        slow.append(tuple(left))
    assert plan == slow


@st.composite
def choices(draw):
    """A choice that is possible, equal importances included, and counts to stop at on the way."""
    shares, importance, counts = [], [], []
    for _ in range(draw(st.integers(1, 3))):
        sizes = tuple(draw(st.lists(st.integers(0, 4), min_size=1, max_size=3)))
        cap = draw(st.none() | st.integers(0, 4))
        limits = Limits(sizes, cap, draw(st.integers(0, 4 if cap is None else cap)))
        shares.append(Share(draw(st.integers(limits.least, limits.most)), limits))
        importance += draw(st.lists(st.integers(0, 5), min_size=sum(sizes), max_size=sum(sizes)))
        counts.append(draw(st.integers(shares[-1].keep, sum(sizes))))
    return Choice(tuple(shares)), torch.tensor(importance, dtype=torch.float64), counts


@settings(max_examples=200)
@given(choices())
def test_survivors_are_the_best_that_leave_the_final_choice_possible(drawn):
    choice, importance, counts = drawn
    found = survivors(importance, choice, counts)
    for piece, share, stays, count in zip(
        choice.cut(importance), choice.shares, choice.cut(found), counts, strict=True
    ):
        assert stays.sum() == count
        best = share.pool.mask(piece, share.keep)
        assert stays[best].all()
        rest = sorted((head for head in range(len(piece)) if not best[head]), key=lambda head: (-piece[head], head))
        assert [head for head in rest if stays[head]] == sorted(rest[: count - share.keep], key=rest.index)


MODEL = transformer_inventory(2, 3, 2, 2)  # 6 + 4 + 4 heads


@st.composite
def removals(draw):
    """Closed heads, budgets, limits, a step, and importances that change with the mask and are often equal."""
    open_heads = draw(st.lists(st.sampled_from([True, True, True, False]), min_size=14, max_size=14))
    there = MODEL.kept_per_kind(open_heads)
    if draw(st.booleans()):
        keep = draw(st.integers(0, sum(there.values())))
    else:
        keep = ",".join(f"{kind}={draw(st.integers(0, there[kind]))}" for kind in KINDS)
    limits = Namespace(
        min_heads_per_block=draw(st.sampled_from([None, 0, 1])), max_heads_per_block=draw(st.sampled_from([None, 1, 2]))
    )
    base = draw(st.lists(st.integers(0, 3), min_size=14, max_size=14))
    moods = draw(st.lists(st.integers(0, 2), min_size=14, max_size=14))
    return open_heads, keep, limits, draw(st.none() | st.integers(1, 8)), base, moods


def changing(base, moods):
    """A head's importance, given who is there: its base, and its mood when their number is odd."""
    return lambda mask: [b + m * (sum(mask) % 2) if there else 0 for b, m, there in zip(base, moods, mask, strict=True)]


def removed_by(drawn):
    open_heads, keep, limits, step, base, moods = drawn

    def choose(inventory):
        return Budget.of(vars(limits)).keeping(keep).choice(inventory)

    def importance_of(mask):
        asked.append(mask.tolist())
        return torch.tensor(changing(base, moods)(mask.tolist()), dtype=torch.float64)

    try:
        choice = choose(MODEL.keeping(open_heads))
    except BadInput:
        assume(False)
    asked = []
    return remove_units(MODEL, torch.tensor(open_heads), choose, step, importance_of), choice, asked


@settings(max_examples=300)
@given(removals())
def test_removal_is_exact_and_never_goes_back(drawn):
    open_heads, keep, limits, _step, base, moods = drawn
    ranking, choice, asked = removed_by(drawn)
    per_kind = list(MODEL.kept_per_kind(ranking.mask).values())
    counts = per_kind if isinstance(keep, str) else [sum(per_kind)]
    assert counts == [share.keep for share in choice.shares]
    kept = MODEL.keeping(ranking.mask.tolist())
    for block, before in zip(kept.blocks, MODEL.keeping(open_heads).blocks, strict=True):
        assert limits.max_heads_per_block is None or block.units <= limits.max_heads_per_block
        assert block.units >= min(limits.min_heads_per_block or 0, before.units)
    assert asked[0] == open_heads
    for mask, later in zip(asked, [*asked[1:], ranking.mask.tolist()], strict=True):
        assert all(before or not after for before, after in zip(mask, later, strict=True))
    assert sorted(ranking.order.tolist()) == [head for head in range(14) if open_heads[head]]
    places = {head: place for place, head in enumerate(ranking.order.tolist())}
    gone = sorted((head for head in places if not ranking.mask[head]), key=places.get)
    assert [ranking.removed_in[head] for head in gone] == sorted(ranking.removed_in[head] for head in gone)
    assert gone == ranking.order.tolist()[: len(gone)]
    for head in range(14):
        if not open_heads[head]:
            assert ranking.importance[head].isnan()
            continue
        last = asked[int(ranking.removed_in[head]) - 1]  # -1: the last
        assert ranking.importance[head] == changing(base, moods)(last)[head]


@settings(max_examples=300)
@given(removals())
def test_without_limits_removal_is_the_plain_loop(drawn):
    open_heads, _, _, step, base, moods = drawn
    keep = sum(open_heads) // 3
    drawn = (open_heads, keep, Namespace(), step, base, moods)
    there, order = [head for head in range(14) if open_heads[head]], []
    while True:
        importance = changing(base, moods)([head in there for head in range(14)])
        rising = sorted(there, key=lambda head: (importance[head], -head))  # of equal ones the later goes first
        going = rising[: min(step or 14, len(there) - keep)]
        order += going
        there = [head for head in there if head not in going]
        if len(there) == keep:
            break
    ranking, _, _ = removed_by(drawn)
    assert torch.nonzero(ranking.mask).flatten().tolist() == there
    assert ranking.order.tolist() == order + [head for head in rising if head in there]


@settings(max_examples=100)
@given(removals(), st.permutations(range(14)))
def test_ranks_keep_the_mask_for_k_and_the_order_for_every_other(drawn, logits):
    open_heads = drawn[0]
    ranking, _, _ = removed_by(drawn)
    logits = torch.tensor(logits, dtype=torch.float64)
    found = ranks(ranking, logits)
    assert sorted(found.tolist()) == list(range(14)) and found.dtype == torch.float64
    assert torch.equal(Budget({"heads_to_keep": int(ranking.mask.sum())}).choice(MODEL).mask(found), ranking.mask)
    rising = torch.argsort(found).tolist()
    assert rising[-len(ranking.order) or 14 :] == ranking.order.tolist()
    closed = rising[: 14 - len(ranking.order)]
    assert closed == sorted((head for head in range(14) if not open_heads[head]), key=lambda head: logits[head])


def test_an_importance_that_is_no_number_is_refused():
    numbers, everything = torch.ones(14, dtype=torch.float64), torch.ones(14, dtype=torch.bool)
    for wrong in (float("nan"), float("inf")):
        numbers[3] = wrong
        with pytest.raises(Failed, match="finite"):
            remove_units(MODEL, everything, Budget({"heads_to_keep": 3}).choice, None, lambda mask: numbers)


def test_limits_of_the_training_hold_unless_others_are_said():
    mask = torch.tensor([1] * 12 + [0, 0], dtype=torch.bool)
    options = Namespace(
        heads_to_keep="10", max_heads_per_block=2, min_heads_per_block=1, prunable="encoder.self,decoder.self"
    )
    kept = KeptUnits(Plan.of(options, MODEL), mask, torch.zeros(14), options)

    def limits(**said):
        [share] = chooser(kept, Settings("9", **said))(MODEL).shares
        return share.keep, share.pool.cap, share.pool.floor, share.pool.fixed[-1]

    assert limits() == (9, 2, 1, True)
    assert limits(max_heads_per_block=3, min_heads_per_block=0) == (9, 3, 0, True)
    with pytest.raises(BadInput, match=r"13: must be 0 to 12.*\(the checkpoint decodes with 12 of 14\)"):
        chooser(kept, Settings("13"))


class TestCheckpoints:
    @pytest.mark.parametrize(
        "name, gated",
        [
            ("transformer", "gated_transformer"),
            ("transformer_iwslt_de_en", "gated_transformer_iwslt_de_en"),
            ("transformer_vaswani_wmt_en_fr_big", "gated_transformer"),
        ],
    )
    @pytest.mark.parametrize("variant", ["post-norm", "shared embeddings"])
    def test_a_stock_model_is_the_gated_one_with_all_heads(self, name, gated, variant):
        stock = build(TransformerModel, variant).eval()
        state = checkpoint_of(stock, arch=name, _name=name, **VARIANTS[variant])
        names = set(state["model"])
        model = model_of(with_gates(state))
        assert kept_units_of(with_gates(state)).mask.sum() == HEADS
        assert set(state["model"]) == names and state["cfg"]["model"].arch == name  # left as it was
        for layer in stock.encoder.layers:
            layer.can_use_fastpath = False
        assert near(model(**batch())[0], stock(**batch())[0])
        written = decoding(with_gates(state), model, torch.tensor(MASK, dtype=torch.bool), torch.arange(30.0))
        assert written["cfg"]["model"].arch == written["cfg"]["model"]._name == gated
        assert not any("in_proj_weight" in name for name in written["model"])

    def test_options_that_gates_cannot_have_are_refused(self):
        state = checkpoint_of(build(TransformerModel, "post-norm"), arch="transformer", quant_noise_pq=0.1)
        with pytest.raises(BadInput, match="--quant-noise-pq 0.1"):
            model_of(with_gates(state))

    def test_a_lost_embedding_file_and_activation_checkpointing_do_not_matter(self):
        everything = torch.ones(HEADS, dtype=torch.bool)
        plain = model_of(checkpoint_of(pair("post-norm")[1], pruning_method="none"))
        state = checkpoint_of(
            pair("checkpointed")[1],
            pruning_method="none",
            encoder_embed_path="/gone",
            decoder_embed_path="/gone",
            **VARIANTS["checkpointed"],
        )
        first, second = (GradientImportance(m, some_sentences(TOGETHER))(everything) for m in (plain, model_of(state)))
        assert near(first, second, 1e-4)

    @pytest.mark.parametrize("removed", [False, True])
    def test_what_is_written_has_the_same_weights_and_other_heads(self, tmp_path, removed):
        state = masked_checkpoint()
        if removed:
            state = without_removed_heads(state)
        state["last_optimizer_state"] = {"state": {}}
        kept = kept_units_of(state)
        mask = torch.zeros(len(kept.mask), dtype=torch.bool).index_fill(0, torch.tensor([1, 4, 9]), True)
        written = decoding(state, model_of(state), mask, mask.double() + torch.arange(len(mask)).double() / 100)
        assert "last_optimizer_state" not in written
        assert torch.equal(kept_units_of(written).mask, mask)
        assert {name for name in written["model"] if name.startswith("gates.")} == {"gates.logits", "gates.kept.heads"}
        for name, tensor in state["model"].items():
            assert name.startswith("gates.") or torch.equal(written["model"][name], tensor)
        with writing_checkpoint(written, str(tmp_path / "out.pt"), mask, force=False):
            assert not (tmp_path / "out.pt").exists()
        assert (tmp_path / "out.pt").exists()

    def test_a_file_with_other_heads_is_not_kept(self, tmp_path):
        state = masked_checkpoint()
        mask = kept_units_of(state).mask
        written = decoding(state, model_of(state), mask, mask.double())
        out = str(tmp_path / "out.pt")
        with (
            pytest.raises(Failed, match="does not decode"),
            writing_checkpoint(written, out, mask.flip(0), force=False),
        ):
            pass
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "given, words",
    [
        ({"data": "d"}, []),
        ({"data": "d", "sentences": 3, "seed": 4, "step": 1, "normalise": "none", "subset": "test"}, []),
        ({"data": "d", "max_tokens": 9}, []),
        ({"score": "magnitude", "step": 2, "normalise": "block"}, []),
        ({"score": "random", "seed": 3, "data": "d"}, []),
        ({}, ["DATA is missing"]),
        ({"data": "d", "step": 0, "sentences": 0, "min_heads_per_block": -1, "max_heads_per_block": -2},
         ["--step 0: must be 1", "--sentences 0: must be 1", "--min-heads-per-block -1", "--max-heads-per-block -2"]),
        ({"data": "d", "seed": 3}, ["--seed 3: draws nothing"]),
        ({"data": "d", "sentences": 1, "seed": 2**32}, ["--seed 4294967296: must be 0 to 4294967295"]),
        ({"score": "random", "seed": -1}, ["--seed -1: must be 0 to 4294967295"]),
        ({"data": "d", "step": 10**20, "sentences": 10**20, "max_tokens": 10**20, "max_heads_per_block": 10**20},
         ["--step 1000", "--sentences 1000", "--max-tokens 1000", "--max-heads-per-block 1000"]),
        ({"score": "random", "step": 2, "normalise": "block", "sentences": 1, "max_tokens": 2, "subset": "test"},
         ["--max-tokens 2", "--normalise block", "--sentences 1", "--step 2", "--subset test"]),
        ({"score": "magnitude", "seed": 1, "sentences": 2}, ["--seed 1: --score magnitude", "--sentences 2"]),
    ],
)  # fmt: skip
def test_settings_that_would_change_nothing_are_refused(given, words):
    problems = Settings("3", **given).problems()
    assert len(problems) == len(words)
    assert all(any(problem.startswith(word) for problem in problems) for word in words), problems
