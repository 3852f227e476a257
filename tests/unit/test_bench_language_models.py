"""``dsp-fairseq bench`` of language models: what is read, what is continued, and that all variants do the same."""

import importlib.util
import json
from argparse import Namespace

import pytest
import torch
from fairseq.data.indexed_dataset import MMapIndexedDatasetBuilder
from tiny_checkpoints import masked_checkpoint
from tiny_language_models import ALL_ATTENTION, TRANSFORMER, WORDS, Task, build, chances, checkpoint_of, options

from dsp_fairseq.bench.agreement import compare_all
from dsp_fairseq.bench.sentences import load_sentences
from dsp_fairseq.bench.settings import MASKED, REMOVED, STOCK, Decoding, Settings
from dsp_fairseq.bench.variants import FairseqVariant, Subject
from dsp_fairseq.cli import main
from dsp_fairseq.families.family import Family
from dsp_fairseq.families.transformer_lm.family import TransformerLmFamily
from dsp_fairseq.families.transformer_lm.work import PROMPT, Reading, Scores

UNEVEN = [1, 0, 1, 0, 1, 0]
DECODING = Decoding(batch_size=2, beam=3, max_len_b=9)
VARIANTS = {TRANSFORMER: (STOCK, MASKED, REMOVED), ALL_ATTENTION: (MASKED, REMOVED)}
with_ctranslate2 = pytest.mark.skipif(not importlib.util.find_spec("ctranslate2"), reason="needs ctranslate2")


def state_of(model, variant="plain", mask=UNEVEN, **more):
    args = options(model, variant, **more)
    return checkpoint_of(build(model, variant, **more), args, mask)


def samples(*lengths):
    """Samples of some words after the end of a text; numbers of words, the word before them included."""
    generator = torch.Generator().manual_seed(3)
    return [[2, *torch.randint(4, WORDS, (length,), generator=generator).tolist()] for length in lengths]


def outcomes(job, batches):
    return [outcome for batch in batches for outcome in job.outcomes(job.run(job.prepare(batch)))]


@pytest.mark.parametrize("model", VARIANTS)
@pytest.mark.parametrize("variant", ["plain", "adaptive"])
def test_variants_read_and_continue_alike(model, variant):
    subject = Subject.of(state_of(model, variant))
    made = {name: FairseqVariant(name, subject, DECODING) for name in VARIANTS[model]}
    batches = [samples(19, 19, 7), samples(3)]
    compare_all({name: outcomes(each.batches, batches) for name, each in made.items()}, Reading.wording)
    texts = [[text] for text in samples(11, 12)]
    continued = {name: [each.tokens for each in outcomes(v.singles, texts)] for name, v in made.items()}
    first, *others = continued.values()
    assert all(other == first for other in others)
    heads = {name: sum(block.num_heads for block in made[name]._model.gated_blocks) for name in (MASKED, REMOVED)}
    assert heads == {MASKED: 6, REMOVED: 3}
    gates = torch.cat([block._gates for block in made[MASKED]._model.gated_blocks])
    assert gates.tolist() == UNEVEN  # all are computed, and multiplied


@pytest.mark.parametrize("model", VARIANTS)
def test_what_is_read_are_the_probabilities_of_the_words_of_each_sample(model):
    """Samples of several segments: all-attention has its memory, and a batch is its samples one by one."""
    batch, state = samples(19, 11, 2), state_of(model, mask=[1] * 6)
    found = outcomes(FairseqVariant(REMOVED, Subject.of(state), DECODING).batches, [batch])
    for sample, scores in zip(batch, found, strict=True):
        words = torch.tensor([sample])
        expected = chances(build(model), {"src_tokens": words[:, :-1]})[0]  # [words, types]
        assert scores.tokens == tuple(sample[1:])
        assert torch.allclose(torch.tensor(scores.log_probabilities), expected.gather(1, words.T[1:])[:, 0], atol=1e-5)


@pytest.mark.parametrize("model", VARIANTS)
def test_a_text_is_continued_to_its_length_and_no_further_than_the_model_reads(model):
    job = FairseqVariant(REMOVED, Subject.of(state_of(model)), DECODING).singles
    sample = samples(30)[0]
    [found] = outcomes(job, [[sample]])
    assert found.tokens[:PROMPT] == tuple(sample[1 : PROMPT + 1])
    assert len(found.tokens) == PROMPT + 9 + 1 and 2 not in found.tokens[:-1] and found.tokens[-1] == 2
    with_end = [2, 7, 2, 2, 8]  # at an end of sentence, fairseq would stop
    [short] = outcomes(job, [[with_end]])
    assert short.tokens[:2] == (7, 8) and len(short.tokens) == 2 + 9 + 1
    [empty] = outcomes(job, [[[2, 2]]])
    assert len(empty.tokens) == 9 + 1
    if model == TRANSFORMER:
        long = FairseqVariant(REMOVED, Subject.of(state_of(model)), Decoding(beam=2, max_len_b=100)).singles
        assert len(outcomes(long, [[sample]])[0].tokens) == 64  # it reads 64 words


def test_scores_of_words_decide_whether_variants_agree():
    one = Scores((4, 5), (-1.0, -2.0))
    assert one.same_as(Scores((4, 5), (-1.00005, -2.0))) and not one.same_as(Scores((4, 5), (-1.0, -2.001)))
    assert not one.same_as(Scores((4, 6), (-1.0, -2.0))) and not one.as_good_as(one)


# what is read


@pytest.fixture
def lines():
    return [[5, 6, 7], [], [8, 9], [10, 11, 12, 13], [14], [15, 16, 17]]


@pytest.fixture
def data(tmp_path, lines):
    """A folder of fairseq-preprocess --only-source."""
    folder = tmp_path / "data"
    folder.mkdir()
    Task().source_dictionary.save(str(folder / "dict.txt"))
    builder = MMapIndexedDatasetBuilder(str(folder / "test.bin"))
    for line in lines:
        builder.add_item(torch.tensor([*line, 2]))
    builder.finalize(str(folder / "test.idx"))
    return folder


def trained_on(folder, model=TRANSFORMER, words=5):
    state = state_of(model)
    state["cfg"]["task"] = {"data": str(folder), "tokens_per_sample": words}
    return state


def settings(**more):
    return Settings(DECODING, **more)


def test_the_test_set_and_the_same_text_are_cut_alike(data, tmp_path, lines):
    found = load_sentences(trained_on(data), settings())
    text = [2, *(word for line in lines for word in (*line, 2))]
    assert found.sentences == [text[start : start + 6] for start in range(0, len(text) - 1, 5)]
    assert [len(sample) for sample in found.sentences] == [6, 6, 6, 5]  # with the word before
    (tmp_path / "text").write_text("".join(" ".join(f"w{word - 4}" for word in line) + "\n" for line in lines))
    assert load_sentences(trained_on(data), settings(text=str(tmp_path / "text"))).sentences == found.sentences


def test_no_sample_is_longer_than_every_model_reads(data):
    long, short = trained_on(data, ALL_ATTENTION, 20), trained_on(data, TRANSFORMER, 20)
    assert [len(each) for each in load_sentences(long, settings()).sentences] == [20]
    short["cfg"]["model"].max_target_positions = 19
    assert len(load_sentences(long, settings(), [short]).sentences) == 1
    short["cfg"]["model"].max_target_positions = 18
    with pytest.raises(ValueError, match="no sample that the model could read .of 1 to 19 words"):
        load_sentences(long, settings(), [short])


def test_random_words_where_the_test_set_is_gone(tmp_path):
    found = load_sentences(trained_on(tmp_path / "gone"), settings(sentences=3))
    assert [len(sample) for sample in found.sentences] == [6] * 3 and "random words" in found.origin
    assert all(sample[0] == 2 and min(sample[1:]) >= 4 and max(sample) < WORDS for sample in found.sentences)
    assert len(Reading().random(WORDS, 1, options(ALL_ATTENTION), Namespace())[0]) == 1 + 256


# the command

QUICK = ["--rounds", "2", "--sentences", "3", "--batch-size", "2", "--beam", "2", "--max-len-b", "4", "--no-memory"]


def bench(capsys, *arguments):
    status = main(["bench", *map(str, arguments)])
    printed = capsys.readouterr()
    return status, printed.out, printed.err


@with_ctranslate2
def test_every_variant_is_timed_or_a_note_says_why_not(capsys, data, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    paths = [tmp_path / "transformer.pt", tmp_path / "attention.pt"]
    for path, model in zip(paths, (TRANSFORMER, ALL_ATTENTION), strict=True):
        torch.save(trained_on(data, model), path)
    status, out, err = bench(capsys, *paths, *QUICK, "--json", tmp_path / "all.json", "--plot", tmp_path / "all.png")
    assert status == 0, err
    told = json.loads((tmp_path / "all.json").read_text())
    found = {(result["checkpoint"], result["variant"]): result for result in told["results"]}
    wanted = [(STOCK, MASKED, REMOVED, "exported"), (MASKED, REMOVED)]
    assert [*found] == [(str(path), name) for path, names in zip(paths, wanted, strict=True) for name in names]
    assert told["task"] == "language_modeling" and told["sentences"] == 3
    for result in found.values():
        assert (result["heads"], result["original_heads"]) == (3, 6)
        words, read = (result[f"{name}_per_second"]["rounds"] for name in ("tokens", "sentences"))
        assert [one / other for one, other in zip(words, read, strict=True)] == pytest.approx([5, 5])
        assert result["times_as_fast_as"] == (STOCK if "transformer.pt" in result["checkpoint"] else MASKED)
    agreement = told["agreement"][str(paths[0])]
    assert agreement == {name: {"sentences": 3, "same": 3, "ties": 0} for name in (MASKED, REMOVED, "exported")}
    assert " samples/s |" in out and "removed: what fairseq-eval-lm does" in out and "fairseq's transformer_lm" in out
    assert "latency: 8 words and 4 that continue them" in out and "probabilities of removed and stock" in out
    assert f"no stock model of {paths[1]}: fairseq has no model with the weights of an all_attention_lm" in out
    assert f"no export of {paths[1]}: " in out and (tmp_path / "all.png").read_bytes().startswith(b"\x89PNG")


@with_ctranslate2
def test_an_export_continues_as_many_words(tmp_path, data):
    from dsp_fairseq.bench.exported import ExportedVariant
    from dsp_fairseq.export.convert import export
    from dsp_fairseq.export.dictionaries import load_dictionaries

    torch.save(trained_on(data), tmp_path / "model.pt")
    export(str(tmp_path / "model.pt"), str(tmp_path / "out"))
    state, sample = trained_on(data), samples(30)[0]
    for most, words in ((9, 9), (100, 63 - PROMPT)):
        decoding = Decoding(beam=2, max_len_b=most)
        variant = ExportedVariant(options(TRANSFORMER), str(tmp_path / "out"), load_dictionaries(state), decoding)
        [found] = outcomes(variant.singles, [[sample]])
        assert len(found.tokens) == words
    ours = outcomes(FairseqVariant(REMOVED, Subject.of(state), decoding).batches, [samples(30, 9)])
    assert all(a.same_as(b) for a, b in zip(outcomes(variant.batches, [samples(30, 9)]), ours, strict=True))


def test_what_cannot_be_timed_is_refused(capsys, tmp_path, data, monkeypatch):
    torch.save(trained_on(data, ALL_ATTENTION), tmp_path / "attention.pt")
    status, out, err = bench(capsys, tmp_path / "attention.pt", *QUICK, "--with", "stock", "removed")
    assert (status, out) == (2, "") and "--with stock: " in err and "fairseq has no model with the weights" in err
    torch.save(masked_checkpoint(), tmp_path / "translating.pt")
    status, out, err = bench(capsys, tmp_path / "attention.pt", tmp_path / "translating.pt", *QUICK)
    assert (status, out) == (2, "") and "models of language_modeling and of translation" in err
    monkeypatch.setattr(TransformerLmFamily, "work", Family.work)
    status, out, err = bench(capsys, tmp_path / "attention.pt", *QUICK)
    assert (status, out) == (2, "") and "attention.pt: nothing is known of the work of an all_attention_lm" in err
