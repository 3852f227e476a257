"""`dsp-fairseq importance`: heads ranked on real checkpoints, decoded by the stock commands."""

import json
import logging
import re
import resource
import shutil
from argparse import Namespace

import pytest
import torch
from trainings import STOCK, train

from dsp_fairseq.checkpoints.reading import kept_units, load, model_options
from dsp_fairseq.cli import main
from dsp_fairseq.importance.sentences import load_sentences

HEADS = 36
DECODE = ["--beam", 2, "--max-len-b", 10, "--gen-subset", "valid", "--batch-size", 20, "--num-workers", 0]


@pytest.fixture(scope="module")
def folder(run, corpus, tmp_path_factory):
    """open.pt has all 36 heads, masked.pt keeps 10 of them, stock.pt is of the stock transformer."""
    folder = tmp_path_factory.mktemp("importance")
    train(run, corpus, folder / "none", "--pruning-method", "none", "--max-update", 30)
    (folder / "none" / "checkpoint_last.pt").rename(folder / "open.pt")
    masking = ["--heads-to-keep", 10, "--pruning-method", "uniform", "--max-heads-per-block", 2, "--max-update", 1]
    train(run, corpus, folder / "uniform", *masking, "--finetune-from-model", folder / "open.pt")
    (folder / "uniform" / "checkpoint_last.pt").rename(folder / "masked.pt")
    done = run("fairseq-train", corpus.data_bin, "--save-dir", folder / "plain", *STOCK)
    assert done.returncode == 0, done.stderr
    (folder / "plain" / "checkpoint_last.pt").rename(folder / "stock.pt")
    return folder


@pytest.fixture
def importance(capsys):
    """Run the command in this process: (exit status, stdout, lines of stderr)."""
    level = logging.getLogger("fairseq").level

    def command(*arguments):
        status = main(["importance", *map(str, arguments)])
        printed = capsys.readouterr()
        return status, printed.out, printed.err.splitlines()

    yield command
    logging.getLogger("fairseq").setLevel(level)


def hypotheses(run, corpus, checkpoint, user_dir=True):
    """Every hypothesis of the validation set, and the heads that they were decoded with."""
    options = ["--user-dir", "dsp_fairseq"] if user_dir else []
    done = run("fairseq-generate", corpus.data_bin, "--path", checkpoint, *DECODE, *options, fresh=not user_dir)
    assert done.returncode == 0, done.stderr
    found = re.findall(r"^H-(\d+)\t\S+\t(.*)$", done.stdout, re.MULTILINE)
    assert len(found) > 20
    return dict(found), re.findall(r"decoding with (\d+ of \d+) heads", done.stdout + done.stderr)


def in_blocks(kept):
    """Kept heads by the name of their block."""
    return kept.inventory.keeping(kept.mask.tolist()).indices()


def as_pairs(kept):
    """(name of the block, head) of all kept heads."""
    return {(name, head) for name, heads in kept.items() for head in heads}


def test_one_removal(run, corpus, folder, tmp_path):
    out, scores = tmp_path / "out.pt", tmp_path / "out.json"
    options = ["--heads-to-keep", 7, "--json", scores]
    done = run("dsp-fairseq", "importance", folder / "open.pt", corpus.data_bin, out, *options)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert "heads: 36 => 7 of 36" in done.stdout and "decodes with 7 of 36 heads" in done.stdout
    before, after = load(str(folder / "open.pt")), load(str(out))
    assert "last_optimizer_state" not in after
    for name, tensor in before["model"].items():
        assert name.startswith("gates.") or torch.equal(tensor, after["model"][name])
    assert hypotheses(run, corpus, out)[1] == ["7 of 36"]

    found, kept = json.loads(scores.read_text()), in_blocks(kept_units(str(out)))
    assert found["kept"] == kept and found["heads_to_keep"] == 7 and found["subset"] == "valid"
    ranked = sorted((-x, name, head) for name, xs in found["importance"].items() for head, x in enumerate(xs))
    ranked = [(name, head) for _, name, head in ranked]
    assert len(ranked) == HEADS and set(ranked[:7]) == as_pairs(kept)
    for name, numbers in found["importance"].items():
        assert sum(x**2 for x in numbers) == pytest.approx(1)
        printed = " ".join(map(str, kept[name])) or "none"
        assert re.search(rf"^\| {name} +\| 4 => {len(kept[name])} +\| {printed} +\|$", done.stdout, re.MULTILINE)
    assert main(["prune", str(out), str(tmp_path / "four.pt"), "--heads-to-keep", "4"]) == 0
    four = model_options(load(str(tmp_path / "four.pt"))).kept_heads
    assert as_pairs(four) == set(ranked[:4])


def test_step_by_step_and_by_kind_from_a_masked_checkpoint(run, corpus, folder, tmp_path, importance):
    budget = "encoder.self=1,decoder.self=1,decoder.cross=2"
    status, printed, errors = importance(
        folder / "masked.pt", corpus.data_bin, tmp_path / "out.pt", "--heads-to-keep", budget, "--step", 4,
        "--sentences", 9, "--json", tmp_path / "out.json",
    )  # fmt: skip
    assert (status, errors) == (0, [])
    assert "heads: 10 => 4 of 36" in printed and "mean of 9 sentences of valid; 2 steps" in printed
    before, after = kept_units(str(folder / "masked.pt")), kept_units(str(tmp_path / "out.pt"))
    assert list(after.per_kind.values()) == [1, 1, 2]
    assert not (after.mask & ~before.mask).any()
    found = json.loads((tmp_path / "out.json").read_text())
    numbers = [x for numbers in found["importance"].values() for x in numbers]
    steps = [number for numbers in found["removed_in_step"].values() for number in numbers]
    assert [x is not None for x in numbers] == before.mask.tolist()
    assert [steps.count(number) for number in (None, 1, 2)] == [30, 4, 2]
    assert hypotheses(run, corpus, tmp_path / "out.pt")[1] == ["4 of 36"]


def test_the_batches_do_not_matter_and_the_sentences_are_seeded(corpus, folder, tmp_path, importance):
    found = {}
    for name, options in {
        "one": ["--max-tokens", 4096],
        "many": ["--max-tokens", 40],
        "other": ["--max-tokens", 4096, "--seed", 2],
    }.items():
        status, _, errors = importance(
            folder / "open.pt", corpus.data_bin, tmp_path / f"{name}.pt", "--heads-to-keep", 5, "--sentences", 20,
            "--normalise", "none", "--json", tmp_path / f"{name}.json", *options,
        )  # fmt: skip
        assert (status, errors) == (0, [])
        numbers = json.loads((tmp_path / f"{name}.json").read_text())["importance"]
        found[name] = [x for block in numbers.values() for x in block]
    assert found["one"] == pytest.approx(found["many"], rel=1e-4)
    assert found["one"] != pytest.approx(found["other"], rel=1e-2)


def test_a_stock_checkpoint_decodes_as_before_until_heads_are_removed(run, corpus, folder, tmp_path, importance):
    before, said = hypotheses(run, corpus, folder / "stock.pt", user_dir=False)
    assert said == []
    for keep in (12, 5):  # of (2 + 2 x 2) blocks of 2 heads
        out = tmp_path / f"{keep}.pt"
        assert importance(folder / "stock.pt", corpus.data_bin, out, "--heads-to-keep", keep)[::2] == (0, [])
        after, said = hypotheses(run, corpus, out)
        assert said == [f"{keep} of 12"] and (after == before) == (keep == 12)
    names = set(load(str(folder / "stock.pt"))["model"]) - set(load(str(out))["model"])
    assert names and all((name.startswith("encoder.layers") and "weight" in name) or "bias" in name for name in names)


def test_training_goes_on(run, corpus, folder, tmp_path, importance):
    start = tmp_path / "start.pt"
    options = ["--score", "magnitude", "--heads-to-keep", 8]
    assert importance(folder / "open.pt", start, *options)[::2] == (0, [])
    assert run("dsp-fairseq", "prune", start, tmp_path / "small.pt").returncode == 0
    going_on = ["--pruning-method", "none", "--max-update", 2, "--finetune-from-model", tmp_path / "small.pt"]
    train(run, corpus, tmp_path / "on", *going_on)
    left = kept_units(str(tmp_path / "on" / "checkpoint_last.pt")).inventory
    chosen = kept_units(str(start))
    assert left.indices() == chosen.inventory.keeping(chosen.mask.tolist()).indices() and left.units == 8


def test_without_data_and_from_a_checkpoint_without_removed_heads(run, corpus, folder, tmp_path, importance):
    small, out = tmp_path / "small.pt", tmp_path / "out.pt"
    assert main(["prune", str(folder / "masked.pt"), str(small), "--half"]) == 0
    for score in ("magnitude", "random"):
        status, printed, errors = importance(small, out, "--score", score, "--heads-to-keep", 3, "--force")
        assert (status, errors) == (0, []) and "heads: 10 => 3 of 36" in printed
        kept = kept_units(str(out))
        assert len(kept.mask) == 10 and kept.mask.sum() == 3
    assert load(str(out))["model"]["encoder.layers.0.fc1.weight"].dtype == torch.float16
    assert hypotheses(run, corpus, out)[1] == ["3 of 36"]


class TestSentences:
    """What is read of a data folder."""

    @staticmethod
    def load(corpus, count, max_tokens=4096, task=None, **options):
        words = sum(1 for _ in open(corpus.data_bin / "dict.de.txt", encoding="utf-8")) + 4
        weights = {f"{stack}.embed_tokens.weight": torch.empty(words, 1) for stack in ("encoder", "decoder")}
        state = {"cfg": {"model": Namespace(arch="gated_transformer", **options), "task": task or {}}, "model": weights}
        return load_sentences(state, str(corpus.data_bin), "valid", count, max_tokens, 1)

    @staticmethod
    def texts(sentences, side):
        """All sentences in words, in the order of their batches."""
        words = sentences.dataset.src_dict
        return [words.string(sentences.dataset[index][side]) for batch in sentences.batches for index in batch]

    @staticmethod
    def lines(corpus, language):
        return (corpus.bpe / f"valid.{language}").read_text(encoding="utf-8").splitlines()

    @pytest.mark.parametrize("languages", [("de", "en"), ("en", "de")])
    def test_the_training_says_which_language_is_the_source(self, corpus, languages):
        source, target = languages
        found = self.load(corpus, None, task={"source_lang": source, "target_lang": target})
        pairs = sorted(zip(self.texts(found, "source"), self.texts(found, "target"), strict=True))
        assert pairs == sorted(zip(self.lines(corpus, source), self.lines(corpus, target), strict=True))
        assert len(found) == len(pairs) and found.too_long == 0

    def test_the_folder_says_it_otherwise(self, corpus):
        assert sorted(self.texts(self.load(corpus, None), "source")) == sorted(self.lines(corpus, "de"))

    def test_fewer_are_the_first_of_one_random_order(self, corpus):
        chosen = [{int(i) for batch in self.load(corpus, count).batches for i in batch} for count in (3, 7, 7)]
        assert list(map(len, chosen)) == [3, 7, 7] and chosen[0] < chosen[1] == chosen[2]
        assert max(chosen[1]) > 7

    def test_too_long_ones_are_counted_and_batches_are_as_large_as_said(self, corpus):
        lengths = [[len(line.split()) + 1 for line in self.lines(corpus, side)] for side in ("de", "en")]
        longest = [sorted(side)[len(side) * 3 // 4] for side in lengths]
        room = 3 * max(longest)
        found = self.load(corpus, None, room, max_source_positions=longest[0], max_target_positions=longest[1])
        fitting = sum(source <= longest[0] and target <= longest[1] for source, target in zip(*lengths, strict=True))
        assert len(found) == fitting > 5 and found.too_long == len(lengths[0]) - fitting > 2
        assert sum(len(batch) > 1 for batch in found.batches) > 2
        for batch, sample in zip(found.batches, found, strict=True):
            source, target = sample["net_input"]["src_tokens"], sample["target"]
            assert len(batch) * max(source.size(1), target.size(1)) <= room


@pytest.fixture(scope="module")
def files(corpus, folder):
    """Beside the checkpoints: a text, and data folders with other words, without valid, and with valid.de alone."""
    (folder / "text.pt").write_text("no checkpoint")
    for name in ("words", "test", "half"):
        shutil.copytree(corpus.data_bin, folder / name)
    with open(folder / "words" / "dict.en.txt", "a", encoding="utf-8") as file:
        file.write("onemore 1\n")
    for path in [*(folder / "test").glob("valid.*"), *(folder / "half").glob("valid.*.en.*")]:
        path.unlink()
    (folder / "empty").mkdir()
    return folder


class TestBadInput:
    CASES = {
        "all at once": (
            "open.pt nowhere out.pt --heads-to-keep 37 --step 0 --sentences 0 --seed 1 --json masked.pt",
            ["--step 0", "--sentences 0", "masked.pt: exists", "--heads-to-keep 37: must be 0 to 36", "folder nowhere"],
        ),
        "no checkpoint": ("no.pt empty/no.pt out.pt --heads-to-keep 3", ["no.pt: does not exist", "empty/no.pt"]),
        "a text": ("text.pt DATA masked.pt --heads-to-keep 3", ["masked.pt: exists", "text.pt: damaged"]),
        "more than decode": ("masked.pt DATA out.pt --heads-to-keep 11", ["0 to 10, the heads of this model (the"]),
        "cap of the training": (
            "masked.pt DATA out.pt --heads-to-keep 10 --max-heads-per-block 1",
            ["--max-heads-per-block 1 leaves room for 9"],
        ),
        "floor": ("open.pt DATA out.pt --heads-to-keep 8 --min-heads-per-block 1", ["--heads-to-keep 8"]),
        "kinds": ("open.pt DATA out.pt --heads-to-keep encoder.self=1", ["encoder.self=12,decoder.self=12"]),
        "data missing": ("open.pt out.pt --heads-to-keep 3", ["DATA is missing"]),
        "nothing in it": ("open.pt empty out.pt --heads-to-keep 3", ["data folder empty: has no file like valid.SRC"]),
        "other words": ("open.pt words out.pt --heads-to-keep 3", ["dict.en.txt: has"]),
        "no such subset": (
            "open.pt test out.pt --heads-to-keep 3",
            ["--subset valid: data folder test has", "test, train"],
        ),
        "no references": ("open.pt half out.pt --heads-to-keep 3", ["--subset valid: data folder half has no en"]),
        "batches too small": ("open.pt DATA out.pt --heads-to-keep 3 --max-tokens 2", ["--max-tokens 2: valid has"]),
        "one file twice": (
            "open.pt DATA out.pt --heads-to-keep 3 --json ./out.pt",
            ["--json ./out.pt: is out.pt, which is OUT as well"],
        ),
        "random with options": ("open.pt out.pt --heads-to-keep 3 --score random --step 2", ["--step 2: --score"]),
    }

    @pytest.mark.parametrize("line, words", CASES.values(), ids=CASES.keys())
    def test_is_told_in_lines_and_leaves_nothing(self, corpus, files, monkeypatch, importance, line, words):
        monkeypatch.chdir(files)
        before = sorted(files.rglob("*"))
        status, printed, lines = importance(*line.replace("DATA", str(corpus.data_bin)).split())
        assert status == 2 and printed == ""
        assert all(line.startswith("dsp-fairseq importance: error: ") for line in lines)
        for word in words:
            assert sum(word in line for line in lines) >= 1, lines
        assert len(lines) <= len(words)
        assert sorted(files.rglob("*")) == before

    def test_a_full_disk_leaves_what_was_there(self, run, files):
        before = sorted(files.rglob("*"))
        done = run(
            "dsp-fairseq", "importance", "open.pt", "full.pt", "--score", "random", "--heads-to-keep", 3,
            "--json", "full.json", cwd=files,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
        )  # fmt: skip
        assert done.returncode == 1
        [line] = done.stderr.splitlines()
        assert "full.pt: could not be written" in line
        assert sorted(files.rglob("*")) == before
