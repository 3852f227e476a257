"""``dsp-fairseq bench``: the parts that take no time, and the variants of a small model."""

import json
from argparse import Namespace

import pytest
import torch
from fairseq.data.indexed_dataset import MMapIndexedDatasetBuilder
from fairseq.models.transformer import TransformerModel
from tiny_checkpoints import MASK, checkpoint_of, masked_checkpoint, without_removed_heads
from tiny_models import HEADS, Task, build

from dsp_fairseq.bench.agreement import compare, compare_all
from dsp_fairseq.bench.recipes import recipes_of
from dsp_fairseq.bench.results import Benchmark, Result, as_json, as_table
from dsp_fairseq.bench.sentences import batches_of, largest, load_sentences, spread
from dsp_fairseq.bench.settings import MASKED, REMOVED, STOCK, Decoding, Settings
from dsp_fairseq.bench.timing import Round, Spread, Turns, measured_round
from dsp_fairseq.bench.variants import FairseqVariant, Subject, parameters_of
from dsp_fairseq.checkpoints.reading import kept_units_of
from dsp_fairseq.cli import _parser, main
from dsp_fairseq.commands import bench as bench_command
from dsp_fairseq.errors import BadInput, Failed
from dsp_fairseq.families.transformer.work import Hypothesis, Translation, random_sentences
from dsp_fairseq.importance.checkpoints import load_with_gates
from dsp_fairseq.structures.surgery import fill_with_zeros

WORDING = Translation.wording

# --- statistics ---


@pytest.mark.parametrize("number", [-1, 10**20, float("inf"), float("nan")])
def test_every_number_has_its_bounds(number):
    decoding = Decoding(number, number, number, number)
    problems = Settings(decoding, rounds=number, sentences=number).problems()
    assert len(problems) == 6 and all(" must be " in problem and " to 2147483647" in problem for problem in problems)


def test_spread_of_rounds():
    assert Spread.of([3.0, 1.0, 2.0, 10.0]) == (2.5, 1.0, 10.0)


class Clock:
    """A variant that takes ``seconds`` a sentence, and the clock that it moves."""

    now = 0.0

    def __init__(self, seconds, log, name):
        self.seconds, self.log, self.name = seconds, log, name

    def prepare(self, batch):
        return batch

    def run(self, batch):
        self.log.append(self.name)
        Clock.now += self.seconds * len(batch)
        return batch

    def outcomes(self, batch):
        Clock.now += 1000.0  # is not counted
        return [Hypothesis(tuple(sentence), 0.0) for sentence in batch]


def test_rounds_time_nothing_but_translations_and_variants_take_turns():
    log, ticks = [], []
    variants = [Clock(0.5, log, "slow"), Clock(0.25, log, "fast")]
    batches = [[[5, 2], [6, 7, 2]], [[5, 5, 5, 2]]]
    turns = [Turns(variants, b, clock=lambda: Clock.now) for b in (batches, [[[5, 2]]] * 4)]
    slow, fast = measured_round(*turns, 0, lambda: ticks.append(1))
    assert slow == (2.0, 6.0, 500.0, 500.0)  # 3 sentences, 9 words in 1.5 s
    assert fast == (4.0, 12.0, 250.0, 250.0)
    assert log[:4] == ["slow", "fast", "fast", "slow"]
    assert len(ticks) == len(log) == 2 * (2 + 4)
    log.clear()
    measured_round(*turns, 1, lambda: None)
    assert log[:4] == ["fast", "slow", "slow", "fast"]


def result(variant, *rounds, checkpoint="a.pt", **changes):
    told = {"heads": 12, "original_heads": 36, "parameters": 1000, "memory_bytes": 5_000_000}
    return Result(checkpoint, variant, **{**told, **changes}, rounds=[Round(*numbers) for numbers in rounds])


def benchmark(*results):
    machine = {"device": "a CPU", "threads": 1, "torch": "2"}
    agreement = {"a.pt": {REMOVED: compare([Hypothesis((4, 2), 0.0)], [Hypothesis((4, 2), 0.0)])}}
    return Benchmark(
        Settings(Decoding(), rounds=2),
        WORDING,
        Translation().limits(Decoding()),
        machine,
        7,
        "a test set",
        agreement,
        list(results),
        ["a note"],
    )


SLOW = result(STOCK, (10.0, 100.0, 80.0, 90.0), (20.0, 200.0, 40.0, 50.0))
FAST = result(REMOVED, (20.0, 200.0, 20.0, 30.0), (30.0, 300.0, 20.0, 30.0), parameters=None, memory_bytes=None)


def test_ratio_is_taken_round_by_round_and_above_one_is_faster():
    assert FAST.ratio(SLOW, "sentences_per_second") == (1.75, 1.5, 2.0)
    assert FAST.ratio(SLOW, "latency_p50_ms") == (3.0, 2.0, 4.0)


def test_table(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    text = as_table(benchmark(SLOW, FAST))
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    assert rows[0][4] == "times stock"
    assert rows[2] == [
        *("stock", "12/36", "1,000", "15.0 (10.0 to 20.0)", "1.00 (1.00 to 1.00)", "150"),
        *("60.0 (40.0 to 80.0)", "70.0 (50.0 to 90.0)", "5"),
    ]
    assert rows[3][:5] == ["removed", "12/36", "-", "25.0 (20.0 to 30.0)", "1.75 (1.50 to 2.00)"]
    assert rows[3][-1] == "-"
    assert "removed: what fairseq-generate does" in text and "stock: " in text and "masked: " not in text
    assert "7 sentences (a test set)" in text and "a note" in text
    assert "translations of removed and stock in float32: 1 of 1 the same" in text


def test_each_checkpoint_is_compared_with_its_own_stock():
    others = [result(name, (5.0, 50.0, 1.0, 1.0), checkpoint="b.pt") for name in (MASKED, REMOVED)]
    found = benchmark(SLOW, FAST, *others)
    assert [found.base_of(r) for r in found.results] == [SLOW, SLOW, others[0], others[0]]
    text = as_table(found)
    assert "times masked" in text.partition("b.pt\n")[2] and "times stock" in text.partition("a.pt\n")[2]


def test_of_a_model_with_all_heads_nothing_is_called_masked_or_removed():
    rounds = (5.0, 50.0, 1.0, 1.0)
    text = as_table(benchmark(*(result(name, rounds, heads=36) for name in (STOCK, MASKED, REMOVED))))
    assert all(label in text for label in ("| stock ", "| masked (none) ", "| removed (none) "))
    assert "(none)" not in as_table(benchmark(*(result(name, rounds, heads=35) for name in (STOCK, MASKED, REMOVED))))


def test_hidden_units_and_layers_are_counted_too(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    rounds, others = (5.0, 50.0, 1.0, 1.0), {"hidden units": (64, 1024), "layers": (5, 6)}
    found = benchmark(*(result(name, rounds, heads=36, others=others) for name in (STOCK, REMOVED)))
    text = as_table(found)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    assert [row[:5] for row in (rows[0], rows[3])] == [
        ["variant", "heads", "hidden units", "layers", "parameters"],
        ["removed", "36/36", "64/1,024", "5/6", "1,000"],  # not "(none)": all heads are there, and not all else
    ]
    assert "it takes the pruned units out first" in text and "zeros for the pruned units" in text
    assert "it takes the pruned heads out first" in as_table(benchmark(SLOW, FAST))
    assert json.loads(as_json(found))["results"][0]["others"] == {"hidden units": [64, 1024], "layers": [5, 6]}
    assert found.results[0].kept_in_words == "36 of 36 heads, 64 of 1,024 hidden units, 5 of 6 layers"


def test_tables_fit_a_screen_of_a_hundred_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    lines = [line for line in as_table(benchmark(SLOW, FAST)).splitlines() if line.startswith("|")]
    assert max(map(len, lines)) <= 100 and sum("p95" in line for line in lines) == 1


def test_json_has_every_round():
    told = json.loads(as_json(benchmark(SLOW, FAST)))
    assert told["results"][1]["sentences_per_second"] == {
        "median": 25.0, "lowest": 20.0, "highest": 30.0, "rounds": [20.0, 30.0],
        "times_as_fast": {"median": 1.75, "lowest": 1.5, "highest": 2.0},
    }  # fmt: skip
    assert told["results"][1]["times_as_fast_as"] == "stock"
    assert told["agreement"] == {"a.pt": {"removed": {"sentences": 1, "same": 1, "ties": 0}}}
    assert told["settings"]["decoding"]["beam"] == 5


def test_plot_has_a_row_per_variant_in_every_panel():
    pytest.importorskip("matplotlib")
    from dsp_fairseq.bench.plot import draw

    figure = draw(benchmark(SLOW, FAST))
    speed, latency, memory = figure.axes
    assert [label.get_text() for label in speed.get_yticklabels()] == ["stock", "removed"]
    medians = [container.lines[0].get_xdata()[0] for container in speed.containers]
    assert medians == [15.0, 25.0]
    assert [text.get_text() for text in speed.texts] == ["", "1.75× (1.50 to 2.00)"]
    assert [text.get_text() for text in latency.texts] == ["", "3.00× (2.00 to 4.00)"]
    assert [text.get_text() for text in memory.texts] == ["5", "not measured"]


# --- do they translate alike? ---

WANTED = [Hypothesis((4, 5, 2), -0.5), Hypothesis((6, 2), -0.7)]


def test_ties_are_counted_and_told():
    tie = [WANTED[0], Hypothesis((7, 2), -0.70005)]
    assert compare(WANTED, tie) == (2, 1, 1)
    assert str(compare(WANTED, tie)) == "1 of 2 the same, 1 equally good ones"


def test_another_translation_fails():
    worse = [WANTED[0], Hypothesis((7, 2), -0.71)]
    with pytest.raises(Failed, match="removed does not translate as stock does .1 of 2 the same, 1 others"):
        compare_all({STOCK: WANTED, MASKED: WANTED, REMOVED: worse}, WORDING, may_differ=["exported"])
    found = compare_all({STOCK: WANTED, "exported": worse}, WORDING, may_differ=["exported"])
    assert found == {"exported": (2, 1, 0)}


# --- variants ---

DECODING = Decoding(batch_size=4, beam=3, max_len_b=12)
WORDS = 44


def outcomes(job, batches):
    return [outcome for batch in batches for outcome in job.outcomes(job.run(job.prepare(batch)))]


def translations(name, subject, batch_size=DECODING.batch_size):
    variant = FairseqVariant(name, subject, DECODING)
    batches = batches_of(random_sentences(WORDS, 9), batch_size)
    return variant, outcomes(variant.batches, batches)


@pytest.mark.parametrize("keep", [None, 5, 0])
@pytest.mark.parametrize("form", ["masked", "removed", "half removed"])
def test_variants_translate_alike(form, keep):
    state = masked_checkpoint()
    if form == "half removed":  # 17 heads in the file, 9 kept
        state = without_removed_heads(state)
        state["cfg"]["model"].heads_to_keep = 9
    elif form == "removed":
        state = without_removed_heads(state)
    subject = Subject.of(state, keep)
    expected_heads = keep if keep is not None else 9 if form == "half removed" else sum(MASK)
    found = {name: translations(name, subject) for name in (STOCK, MASKED, REMOVED)}
    compare_all({name: hypotheses for name, (_, hypotheses) in found.items()}, WORDING)
    heads = {name: sum(a.num_heads for a in found[name][0]._model.gated_blocks) for name in (MASKED, REMOVED)}
    assert heads == {MASKED: HEADS, REMOVED: expected_heads}
    gates = torch.cat([attention._gates for attention in found[MASKED][0]._model.gated_blocks])
    assert gates.sum() == expected_heads


@pytest.mark.parametrize("name", [STOCK, MASKED, REMOVED])
def test_a_batch_translates_as_its_sentences_do(name):
    subject = Subject.of(masked_checkpoint())
    compare_all({size: translations(name, subject, size)[1] for size in (1, 4)}, WORDING)


def test_a_stock_checkpoint_has_rows_of_its_own(tmp_path):
    """As it is, and as a gated model of the same weights with all heads."""
    stock = checkpoint_of(build(TransformerModel, "post-norm"), arch="transformer", _name="transformer")
    for name in ("pruning_method",):
        delattr(stock["cfg"]["model"], name)
    torch.save(stock, tmp_path / "stock.pt")
    recipes, notes = recipes_of([str(tmp_path / "stock.pt")], [load_with_gates(str(tmp_path / "stock.pt"))],
                                Settings(DECODING, variants=(STOCK, MASKED, REMOVED)), str(tmp_path))  # fmt: skip
    assert [(recipe.variant, recipe.heads) for recipe in recipes] == [(STOCK, HEADS), (MASKED, HEADS), (REMOVED, HEADS)]
    assert len({recipe.parameters for recipe in recipes}) == 1 and notes == []
    batches = batches_of(random_sentences(WORDS, 9), 4)
    found = {}
    for recipe in recipes:
        found[recipe.variant] = outcomes(recipe.make(*recipe.arguments).batches, batches)
    compare_all(found, WORDING)
    settings = Settings(DECODING, variants=(STOCK,), heads_to_keep="5")
    [note] = recipes_of([str(tmp_path / "stock.pt")], [load_with_gates(str(tmp_path / "stock.pt"))], settings, "")[1]
    assert "--heads-to-keep 5" in note and "nothing is learned" in note


def test_another_k_translates_otherwise():
    state = masked_checkpoint()
    _, all_heads = translations(REMOVED, Subject.of(state))
    _, few = translations(REMOVED, Subject.of(state, 2))
    assert compare(all_heads, few).same < len(few)


def test_budgets_of_a_checkpoint_with_hidden_units(tmp_path):
    """Every variant decodes with the units within the new budgets, and a note says where the numbers are no ranks."""
    state = masked_checkpoint()
    torch.save(state, tmp_path / "masked.pt")
    path = str(tmp_path / "masked.pt")
    settings = Settings(DECODING, variants=(STOCK, REMOVED), other_budgets={"parameters_to_keep": "30%"})
    recipes, notes = recipes_of([path], [load_with_gates(path)], settings, str(tmp_path))
    expected = kept_units_of(state).best(parameters_to_keep="30%")
    assert {recipe.heads for recipe in recipes} == {int(expected.sum())} and 0 < expected.sum() < sum(MASK)
    assert notes == []
    wrong = Settings(DECODING, variants=(STOCK,), other_budgets={"parameters_to_keep": "300%"})
    with pytest.raises(BadInput, match=f"^{path}: --parameters-to-keep 300%: must be"):
        recipes_of([path], [load_with_gates(path)], wrong, str(tmp_path))


def test_an_export_has_the_units_within_the_budgets(tmp_path, monkeypatch):
    asked = {}
    monkeypatch.setattr("dsp_fairseq.export.requirement.require_ctranslate2", lambda: None)
    monkeypatch.setattr("dsp_fairseq.export.convert.export", lambda *_, **budgets: asked.update(budgets))
    monkeypatch.setattr("dsp_fairseq.bench.recipes.load_dictionaries", lambda *_: None)
    path = str(tmp_path / "masked.pt")
    torch.save(masked_checkpoint(), path)
    settings = Settings(DECODING, variants=("exported",), other_budgets={"parameters_to_keep": "30%"})
    recipes_of([path], [load_with_gates(path)], settings, str(tmp_path))
    assert asked == {"parameters_to_keep": "30%"}


def test_parameters_count_nothing_twice():
    masked = Subject.of(masked_checkpoint())
    removed = Subject.of(without_removed_heads(masked_checkpoint()))
    for name in (STOCK, MASKED, REMOVED):
        assert parameters_of(name, masked) == parameters_of(name, removed)
    model = translations(REMOVED, masked)[0]._model
    assert parameters_of(REMOVED, masked) == sum(parameter.numel() for parameter in model.parameters())
    # what fairseq keeps a second time for a faster encoder is not counted
    assert parameters_of(STOCK, masked) == parameters_of(MASKED, masked)


# --- sentences ---


def test_sentences_are_spread_evenly():
    assert spread(range(10), 5) == [0, 2, 4, 6, 8]
    assert spread("abc", 7) == ["a", "b", "c"]


def test_batches_hold_sentences_of_like_length():
    batches = batches_of([[1] * n for n in (3, 1, 5, 2, 4)], 2)
    assert [[len(sentence) for sentence in batch] for batch in batches] == [[1, 2], [3, 4], [5]]
    assert largest(batches) == batches[1]


def test_random_sentences_stay_in_the_dictionary():
    sentences = random_sentences(WORDS, 200)
    words = {word for sentence in sentences for word in sentence[:-1]}
    assert words == set(range(4, WORDS))
    assert {sentence[-1] for sentence in sentences} == {2}
    assert {len(sentence) - 1 for sentence in sentences} == set(range(5, 26))


@pytest.fixture
def data(tmp_path):
    """A folder of fairseq-preprocess with a test set of 6 sentences, 1 to 6 words long."""
    folder = tmp_path / "data"
    folder.mkdir()
    for language in ("de", "en"):
        Task().source_dictionary.save(str(folder / f"dict.{language}.txt"))
        builder = MMapIndexedDatasetBuilder(str(folder / f"test.de-en.{language}.bin"))
        for length in range(1, 7):
            builder.add_item(torch.tensor([*range(4, 4 + length), 2]))
        builder.finalize(str(folder / f"test.de-en.{language}.idx"))
    return folder


def trained_on(folder, **options):
    state = masked_checkpoint()
    state["cfg"]["task"] = {"data": str(folder), "source_lang": "de", "target_lang": "en"}
    vars(state["cfg"]["model"]).update(source_lang="de", target_lang="en", **options)
    return state


def settings(**options):
    return Settings(Decoding(), **options)


def test_test_set_of_the_training_or_of_another_folder(data, tmp_path):
    found = load_sentences(trained_on(data), settings())
    assert found.sentences == [[*range(4, 4 + length), 2] for length in range(1, 7)]
    assert str(data) in found.origin
    assert load_sentences(trained_on("gone"), settings(data=str(data))).sentences == found.sentences
    assert load_sentences(trained_on(data), settings(sentences=2)).sentences == [[4, 2], [4, 5, 6, 7, 2]]
    too_long = load_sentences(trained_on(data, max_source_positions=4), settings())
    assert max(map(len, too_long.sentences)) == 4


def test_random_words_where_the_test_set_is_gone(tmp_path):
    found = load_sentences(trained_on(tmp_path / "gone"), settings(sentences=9))
    assert len(found.sentences) == 9
    assert "random words" in found.origin and "gone" in found.origin


def test_text_is_read_with_the_dictionary(data, tmp_path):
    (tmp_path / "text").write_text("w0 w3\n\nw1 nonsense\n")
    found = load_sentences(trained_on(data), settings(text=str(tmp_path / "text")))
    assert found.sentences == [[4, 7, 2], [5, 3, 2]]


def test_unusable_data_is_told(data, tmp_path):
    for path in data.glob("test.*"):
        path.rename(path.parent / path.name.replace("test", "valid"))
    with pytest.raises(BadInput, match="no test set"):
        load_sentences(trained_on("gone"), settings(data=str(data)))
    with pytest.raises(BadInput, match="nowhere"):
        load_sentences(trained_on(data), settings(text="nowhere"))
    (tmp_path / "bytes").write_bytes(b"w0 \xff")
    with pytest.raises(BadInput, match="UTF-8"):
        load_sentences(trained_on(data), settings(text=str(tmp_path / "bytes")))
    (data / "dict.de.txt").write_text("w0 1\n")
    with pytest.raises(BadInput, match="5 words"):
        load_sentences(trained_on(data), settings(data=str(data)))


# --- wrong use ---


def refused(capsys, *arguments):
    assert main(["bench", *map(str, arguments)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    return printed.err.splitlines()


def test_all_problems_at_once(capsys, tmp_path):
    (tmp_path / "there.json").write_text("mine")
    lines = refused(
        capsys, tmp_path / "missing.pt", "--batch-size", 0, "--beam", 0, "--rounds", -1, "--sentences", 0,
        "--max-len-a", -1, "--max-len-b", 0, "--json", tmp_path / "there.json", "--plot", tmp_path / "picture.pdf",
    )  # fmt: skip
    words = ("--batch-size 0", "--beam 0", "--rounds -1", "--sentences 0", "--max-len-a -1", "--max-len-b 0",
             "there.json", "picture.pdf", "missing.pt")  # fmt: skip
    for word in words:
        assert sum(word in line for line in lines) == 1, word
    assert len(lines) == len(words)
    assert [path.name for path in tmp_path.iterdir()] == ["there.json"]


def test_k_out_of_range(capsys, tmp_path):
    torch.save(masked_checkpoint(), tmp_path / "masked.pt")
    torch.save(without_removed_heads(masked_checkpoint()), tmp_path / "removed.pt")
    options = ("--heads-to-keep", 18, "--with", "removed")
    [line] = refused(capsys, tmp_path / "masked.pt", tmp_path / "removed.pt", *options)
    assert "--heads-to-keep 18" in line and "0 to 17" in line and "removed.pt" in line


def test_checkpoints_of_different_dictionaries(capsys, tmp_path):
    torch.save(masked_checkpoint(), tmp_path / "one.pt")
    other = masked_checkpoint()
    other["model"]["encoder.embed_tokens.weight"] = torch.zeros(50, 24)
    torch.save(other, tmp_path / "other.pt")
    [line] = refused(capsys, tmp_path / "one.pt", tmp_path / "other.pt")
    assert "44 and 50 words" in line
    [line] = refused(capsys, tmp_path / "one.pt", tmp_path / "one.pt")
    assert "twice" in line


@pytest.mark.parametrize(
    "words",
    [
        "{} --with stock removed",
        "--with stock removed {}",
        "--with stock {} removed",
        "--with stock removed --beam 5 {}",
    ],
)
def test_checkpoints_after_with_are_checkpoints(tmp_path, words):
    path = str(tmp_path / "stock-and-removed.pt")
    open(path, "w").close()
    arguments = _parser().parse_args(["bench", *words.format(path).split()])
    bench_command.check(arguments)
    assert arguments.variants == ["stock", "removed"] and arguments.checkpoints == [path]


def test_wrong_words_after_with_are_told(capsys, tmp_path):
    (tmp_path / "a.pt").write_text("")
    [line] = refused(capsys, "--with", "stok", "removed", tmp_path / "a.pt")
    assert line.startswith("dsp-fairseq bench: error: --with stok: is none of stock, masked, removed, exported, int8")
    [line] = refused(capsys, "--with", tmp_path / "a.pt")
    assert "name one or more of stock" in line
    [line] = refused(capsys, "--with", "stock")
    assert "CKPT is missing" in line


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu(capsys, tmp_path):
    torch.save(masked_checkpoint(), tmp_path / "masked.pt")
    [line] = refused(capsys, tmp_path / "masked.pt", "--device", "cuda")
    assert "--device cuda" in line


def test_variants_that_differ_fail_with_nothing_written(capsys, tmp_path, monkeypatch):
    from dsp_fairseq.bench import memory, variants

    def filled_wrong(state, inventory):
        full = fill_with_zeros(state, inventory)
        full["decoder.layers.2.encoder_attn.v_proj.weight"] *= -1
        return full

    monkeypatch.setattr(variants, "fill_with_zeros", filled_wrong)
    monkeypatch.setattr(memory, "peak_bytes", lambda *arguments: 1)
    torch.save(masked_checkpoint(), tmp_path / "masked.pt")
    command = ["bench", str(tmp_path / "masked.pt"), "--max-len-b", "8", "--with", "stock", "removed"]
    assert main([*command, "--json", str(tmp_path / "out.json")]) == 1
    printed = capsys.readouterr()
    assert "error: removed does not translate as stock does" in printed.err and printed.out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["masked.pt"]


def test_options_of_the_checkpoint_are_left_alone():
    state = masked_checkpoint()
    before = Namespace(**vars(state["cfg"]["model"]))
    Subject.of(state, 3).changed(state["model"], heads_to_keep=3)
    assert state["cfg"]["model"] == before
