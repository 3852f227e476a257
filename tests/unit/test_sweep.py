"""Sweeps: what the file may say, the plan, the runs with commands that only pretend, the figures that come out."""

import csv
import importlib.util
import io
import json
import os
import shlex
import signal
import stat
import subprocess
import sys
import threading
import time
from argparse import Namespace
from pathlib import Path

import pytest
import submitit
import yaml

from dsp_fairseq.cli import main
from dsp_fairseq.commands.sweep import parsed_choice
from dsp_fairseq.errors import BadInput, Failed
from dsp_fairseq.families.transformer.inventory import transformer_inventory
from dsp_fairseq.structures.inventory import uniform_order
from dsp_fairseq.sweep import check, estimate, executors, job, logs, plan, records, trained
from dsp_fairseq.sweep import run as run_module
from dsp_fairseq.sweep.config import read_config
from dsp_fairseq.sweep.lock import locked
from dsp_fairseq.sweep.results import Results, Row, as_csv, collect
from dsp_fairseq.sweep.table import as_markdown, as_table

TRAIN = "--arch gated_transformer_tiny --optimizer adam --max-tokens 800 --max-update 30"
PROJECT = Path(__file__).resolve().parents[2]

# `fairseq-train` and `fairseq-generate` that note how they were called; $FAKE says what else they do, by cell
FAKE = """#!{python}
import json, os, sys, time
words = sys.argv[1:]
command = os.path.basename(sys.argv[0])
if command == "dsp-fairseq":
    place = os.path.dirname(words[2 if words[0] == "prune" else 3])
elif "train" in command:
    place = words[words.index("--save-dir") + 1]
else:
    place = os.path.dirname(words[words.index("--path") + 1])
cell = os.path.basename(place)
with open(os.environ["CALLS"], "a") as calls:
    calls.write(json.dumps([command, cell, os.environ["OMP_NUM_THREADS"], os.getpid()]) + "\\n")
what = json.loads(os.environ.get("FAKE", "{{}}")).get(cell + " " + command)
if what == "fail":
    print("loading")
    sys.exit("RuntimeError: out of luck\\nbye")
if what == "kill":
    os.kill(os.getpid(), 9)
if what == "nameless":
    os.kill(os.getpid(), 40)
if what == "silent":
    sys.exit(1)
until = time.monotonic() + 20
while what == "wait" and time.monotonic() < until:
    if open(os.environ["CALLS"]).read().count(command) == 2:
        break
    time.sleep(0.02)
else:
    if what == "wait":
        sys.exit("the other cell was not started")
if "train" in command:
    last = os.path.join(place, "checkpoint_last.pt")
    start = 20 if os.path.exists(last) else 0
    for update in range(start + 10, 31, 10):
        with open(os.path.join(place, "train.log"), "a") as log:
            log.write(json.dumps({{"epoch": 1, "update": 0.5, "heads_kept": "12", "num_updates": str(update)}}) + "\\n")
        with open(last, "w") as file:
            file.write(str(start))
        if what == "hang" and update == 20:
            time.sleep(60)
    with open(os.path.join(place, "train.log"), "a") as log:
        log.write(json.dumps({{"valid_nll_loss": "2.5"}}) + "\\n")
elif command == "dsp-fairseq":
    with open(words[2 if words[0] == "prune" else 3], "w") as file:
        file.write("0")
elif "validate" in command:
    print('x | INFO | valid | {{"epoch": null, "valid_nll_loss": "3.5"}}')
else:
    print("D-1\\t-0.1\\tthe second sentence is here\\nD-0\\t-0.1\\tthis is the first one")
    print("Generate test with beam=5: BLEU4 = 31.25, 60.0/40.0/30.0/20.0 (BP=1.000, ratio=1.0, syslen=9, reflen=9)")
"""


def write_config(tmp_path, **changes):
    data = tmp_path / "data"
    data.mkdir(exist_ok=True)
    content = {
        "data": str(data),
        "out": str(tmp_path / "out"),
        "train": TRAIN,
        "generate": "--beam 5 --remove-bpe",
        "grid": {"method": ["dsp", "uniform"], "heads_to_keep": [12, 4], "seed": [1, 2]},
        **changes,
    }
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in content.items() if value is not None}))
    return str(path)


def cells(tmp_path, **changes):
    return plan.cells_of(read_config(write_config(tmp_path, **changes)))


class TestConfig:
    def test_flags_are_words_or_a_string_and_numbers_may_be_numbers(self, tmp_path):
        listed = ["--arch", "x", "--adam-betas", "(0.9, 0.98)", "--lr", 0.003, "--max-update", 30]
        config = read_config(write_config(tmp_path, train=listed))
        text = '--arch x --adam-betas "(0.9, 0.98)" --lr 0.003 --max-update 30'
        assert config.train == read_config(write_config(tmp_path, train=text)).train
        assert config.train[3] == "(0.9, 0.98)" and config.train[-1] == "30"

    def test_out_of_the_command_line_comes_first(self, tmp_path):
        assert read_config(write_config(tmp_path, out=None), "there").out == "there"

    def test_one_value_needs_no_list(self, tmp_path):
        config = read_config(write_config(tmp_path, grid={"method": "ste", "heads_to_keep": 3, "seed": 7}))
        assert (config.methods, config.heads_to_keep, config.seeds) == (("ste",), ("3",), (7,))

    CASES = {
        "unknown": ({"outt": "x"}, ["outt x: unknown key; known are data, out,"]),
        "data": ({"data": "nowhere"}, ["data nowhere: is no folder"]),
        "missing": (
            dict.fromkeys(["data", "out", "train", "grid"]),
            ["data is missing", "out is missing", "train is missing", "grid is missing"],
        ),
        "types": ({"out": 3, "unpruned": "maybe", "grid": [1]}, ["out 3:", "unpruned maybe: must be", "grid [1]:"]),
        "no arch": ({"train": "--lr 1"}, ["train --lr 1: --arch is missing"]),
        "one word": ({"train": ["--arch x"]}, ["train --arch x: is one word", "--arch is missing"]),
        "no word": ({"train": ["--arch", "x", True]}, ["train true: must be a word"]),
        "quotation": ({"generate": "--x 'a"}, ["generate --x 'a: no closing quotation"]),
        "own flags": (
            {"train": f"{TRAIN} --seed=3 --reset-optimizer", "generate": "--path x --quiet"},
            ["train --seed: the sweep sets", "--reset-optimizer: an interrupted", "--path: the", "--quiet:"],
        ),
        "grid": (
            {"grid": {"method": ["dspp", "none"], "heads_to_keep": ["x", -1, 12, 12, "encoder.self=1"], "sed": 1}},
            [
                "grid.sed 1: unknown key; known are method,",
                "grid.method dspp: must be among dsp,",
                "for the unpruned model say unpruned: true",
                "grid.heads_to_keep x: must be a number",
                "grid.heads_to_keep -1: must be",
                "grid.heads_to_keep 12: stands 2 times",
                "grid.heads_to_keep encoder.self=1: must be",
                "grid.seed is missing",
            ],
        ),
        "flags of no method": ({"method_flags": {"ste": "--x"}}, ["method_flags.ste --x: no cell has this method"]),
        "flags of a method": ({"method_flags": {"dsp": "--save-dir x"}}, ["method_flags.dsp --save-dir: the sweep"]),
        "score": ({"score": "sacre"}, ["score sacre: must be fairseq, or"]),
        "after": (
            {"after": {"x": "--step 3", "Y": "--score random", "z": "--score random --seed 3"}},
            [
                "after.x --step 3: must have --score",
                "after.Y --score random: its name",
                "after.z --seed: the sweep sets",
            ],
        ),
        "tune": ({"tune": "--pruning-method dsp --lr 1"}, ["tune --pruning-method: the sweep sets"]),
        "reference": ({"score": {"sacrebleu": "no.en"}}, ["score.sacrebleu no.en: is no file"]),
        "no BLEU4": ({"generate": "--sacrebleu"}, ["generate --sacrebleu: fairseq prints no BLEU4"]),
    }

    @pytest.mark.parametrize("changes, words", CASES.values(), ids=CASES.keys())
    def test_problems_are_told_at_once_a_line_each(self, tmp_path, changes, words):
        path = write_config(tmp_path, **changes)
        with pytest.raises(BadInput) as raised:
            read_config(path)
        lines = str(raised.value).splitlines()
        assert all(line.startswith(f"{path}: ") for line in lines)
        for word in words:
            assert sum(word in line for line in lines) == 1, lines
        assert len(lines) == len(words)

    @pytest.mark.parametrize(
        "text, word",
        [("a: [", "is not YAML"), ("a: 1\na: 2", "line 2: is not YAML: a stands twice"), ("- 1", "must hold")],
    )
    def test_a_file_that_holds_no_keys_and_values(self, tmp_path, text, word):
        path = tmp_path / "sweep.yaml"
        path.write_text(text)
        with pytest.raises(BadInput, match=word):
            read_config(str(path))

    @pytest.mark.parametrize("number", ["012", "0x10", "0b11", "1_0", "1:30", "9" * 20, "9" * 5000])
    @pytest.mark.parametrize("key", ["heads_to_keep", "seed"])
    def test_a_number_that_yaml_takes_for_another_one(self, tmp_path, key, number):
        path = write_config(tmp_path, grid={"method": "dsp", "heads_to_keep": 7, "seed": 7, key: "HERE"})
        Path(path).write_text(Path(path).read_text().replace("HERE", number))
        with pytest.raises(BadInput, match=rf"line \d+: is not YAML: {number[:27]}.* is no plain number") as raised:
            read_config(path)
        assert len(str(raised.value)) < 300

    @pytest.mark.parametrize("seed", [-1, 2**32, 10**17])
    def test_a_seed_that_numpy_does_not_take(self, tmp_path, seed):
        with pytest.raises(BadInput, match=f"grid.seed {seed}: must be a whole number, 0 to 4294967295"):
            read_config(write_config(tmp_path, grid={"method": "dsp", "heads_to_keep": 4, "seed": seed}))

    @pytest.mark.parametrize(
        "text",
        ["a: " + "[" * 3000, "a: " + "[" * 3000 + "]" * 3000, "a: " + "{b: " * 3000 + "}" * 3000, "a: 2024-13-45",
         "a: !!timestamp x", "a: !!float x", "a: !!map 5", "a: \0", "a: &a [*b]", "? [a]\n: b"],
        ids=range(10),
    )  # fmt: skip
    def test_what_yaml_cannot_read(self, tmp_path, text):
        path = tmp_path / "sweep.yaml"
        path.write_text(text)
        with pytest.raises(BadInput, match=f"^{path}.*(is not YAML|is nested too deeply)") as raised:
            read_config(str(path))
        assert "\n" not in str(raised.value)

    @pytest.mark.parametrize("changes", [{"out": "a\0b"}, {"out": "\ud800"}, {"train": "--arch x\0"},
                                         {"train": ["--arch", "x\0"]}, {"generate": "--beam \0"}])  # fmt: skip
    def test_a_character_that_no_name_may_have(self, tmp_path, changes):
        with pytest.raises(BadInput, match=f"{next(iter(changes))} .*holds a character that no name may have"):
            read_config(write_config(tmp_path, **changes))

    def test_the_quick_starts_file_is_right(self, monkeypatch, tmp_path):
        content = yaml.safe_load((PROJECT / "examples" / "quickstart" / "sweep.yaml").read_text())
        monkeypatch.chdir(tmp_path)
        os.makedirs(content["data"])
        Path(content["score"]["sacrebleu"]).parent.mkdir(parents=True)
        Path(content["score"]["sacrebleu"]).write_text("a\n")
        (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(content))
        found = plan.cells_of(read_config("sweep.yaml"))
        assert {cell.method for cell in found} == {"none", "dsp", "uniform"}

    def test_a_reference_that_is_not_utf8(self, tmp_path):
        (tmp_path / "test.en").write_bytes(b"one\ncaf\xe9\n")
        with pytest.raises(BadInput, match=r"score.sacrebleu .*: line 2 is not UTF-8 \(byte 0xe9\)"):
            read_config(write_config(tmp_path, score={"sacrebleu": str(tmp_path / "test.en")}))

    def test_the_helps_example_is_right(self, tmp_path):
        from dsp_fairseq.commands.sweep import EPILOG

        text = EPILOG.partition("say:\n")[2].partition("\nthe sweep itself")[0]
        content = yaml.safe_load(text)
        reference = tmp_path / "test.en"
        reference.write_text("a\n")
        content["train"] = content["train"].replace(" ...", "")
        content["grid"]["method"].append("dsp-published")
        changes = {**content, "data": str(tmp_path), "score": {"sacrebleu": str(reference)}}
        assert read_config(write_config(tmp_path, **changes)).unpruned


class TestPlan:
    def test_every_combination_once_and_the_unpruned_ones_first(self, tmp_path):
        found = cells(tmp_path, unpruned=True)
        assert [cell.name for cell in found] == [
            "unpruned-seed1", "unpruned-seed2", "dsp-12-seed1", "dsp-12-seed2", "dsp-4-seed1", "dsp-4-seed2",
            "uniform-12-seed1", "uniform-12-seed2", "uniform-4-seed1", "uniform-4-seed2",
        ]  # fmt: skip

    def test_commands(self, tmp_path):
        cell = cells(tmp_path, method_flags={"uniform": "--min-heads-per-block 0"})[-1]
        out = str(tmp_path / "out" / "uniform-4-seed2")
        user_dir = str(PROJECT / "dsp_fairseq")
        assert shlex.join(cell.train) == (
            f"fairseq-train {tmp_path}/data --user-dir {user_dir} {TRAIN} --min-heads-per-block 0 --task "
            "translation_pruning --criterion dsp_label_smoothed_cross_entropy --no-epoch-checkpoints --pruning-method "
            f"uniform --heads-to-keep 4 --seed 2 --save-dir {out} --log-format json --log-file {out}/train.log"
        )
        assert shlex.join(cell.generate) == (
            f"fairseq-generate {tmp_path}/data --user-dir {user_dir} --beam 5 --remove-bpe "
            f"--path {out}/checkpoint_last.pt"
        )

    AFTER = {"michel": "--score gradient", "dsp": "--pruning-method dsp", "any-k": "--heads-to-keep-range 3:24"}

    def test_chosen_afterwards_and_tuned(self, tmp_path):
        grid = {"method": "uniform", "heads_to_keep": 4, "seed": 2}
        found = {cell.name: cell for cell in cells(tmp_path, grid=grid, after=self.AFTER, tune="--lr 1 --max-epoch 3")}
        names = ["unpruned-seed2", "uniform-4-seed2", "michel-after-4-seed2", "dsp-after-4-seed2", "any-k-3to24-seed2",
                 "any-k-after-4-seed2"]  # fmt: skip
        assert sorted(found) == sorted([*names, *(f"{name}-tuned3" for name in names if "3to24" not in name)])
        start = found["unpruned-seed2"].checkpoint
        michel, dsp, any_k = (found[f"{name}-after-4-seed2"] for name in self.AFTER)
        chosen = f"importance {start} {tmp_path}/data {michel.checkpoint} --score gradient --heads-to-keep 4 --seed 2"
        assert shlex.join(michel.train) == f"dsp-fairseq {chosen} --force"
        user_dir = PROJECT / "dsp_fairseq"
        assert shlex.join(michel.validate) == (
            f"fairseq-validate {tmp_path}/data --user-dir {user_dir} --max-tokens 800 --path {michel.checkpoint} "
            "--valid-subset valid --log-format json"
        )
        assert f"--pruning-mode pipelined --seed 2 --finetune-from-model {start} --save-dir" in shlex.join(dsp.train)
        assert "--pruning-method dsp --heads-to-keep 4" in shlex.join(dsp.train) and not dsp.validate
        whole = found["any-k-3to24-seed2"]
        assert "--heads-to-keep-range 3:24" in shlex.join(whole.train) and "--heads-to-keep" not in whole.train
        assert any_k.train == (
            "dsp-fairseq",
            "prune",
            whole.checkpoint,
            any_k.checkpoint,
            "--heads-to-keep",
            "4",
            "--force",
        )
        tuned = found["michel-after-4-seed2-tuned3"]
        assert tuned.before == ("dsp-fairseq", "prune", michel.checkpoint, tuned.file("small.pt"), "--force")
        assert f"--pruning-method none --seed 2 --finetune-from-model {tuned.file('small.pt')}" in shlex.join(
            tuned.train
        )
        assert [cell.start.name for cell in (michel, any_k, tuned)] == ["unpruned-seed2", whole.name, michel.name]

    def test_wrong_flags_of_a_choice_are_told_although_its_model_is_not_there_yet(self, tmp_path):
        for language in ("de", "en"):
            (tmp_path / "data").mkdir(exist_ok=True)
            (tmp_path / "data" / f"dict.{language}.txt").write_text("a 1\n")
        grid = {"method": "uniform", "heads_to_keep": 4, "seed": 2}
        right = cells(tmp_path, grid=grid, after=self.AFTER, tune="--lr 1")
        assert len(check.parsed(right, parsed_choice)) == 9  # all but the two choices without training
        after = {"michel": "--score gradual", "dsp": "--pruning-method dsp --pruning-lr x"}
        with pytest.raises(BadInput) as raised:
            check.parsed(cells(tmp_path, grid=grid, after=after, tune="--lr one"), parsed_choice)
        told = sorted(
            str(raised.value).splitlines(), key=lambda line: line.partition("argument --")[2][0], reverse=True
        )
        assert ["gradual" in told[0], "--pruning-lr" in told[1], "--lr" in told[2], len(told)] == [True] * 3 + [3], told

    def test_what_is_given_is_not_given_again(self, tmp_path):
        given = "--task translation --criterion=other --user-dir there --no-epoch-checkpoints"
        words = cells(tmp_path, train=f"{TRAIN} {given}", unpruned=True)[0].train
        for name in ("--task", "--criterion", "--user-dir", "--no-epoch-checkpoints"):
            assert sum(word.partition("=")[0] == name for word in words) == 1
        assert "--heads-to-keep" not in words and "none" in words

    def test_what_fairseq_would_refuse_is_told_once(self, tmp_path):
        for language in ("de", "en"):
            (tmp_path / "data").mkdir(exist_ok=True)
            (tmp_path / "data" / f"dict.{language}.txt").write_text("a 1\n")
        right = cells(tmp_path)
        parsed = check.parsed(right)
        assert parsed["dsp-4-seed2"].heads_to_keep == "4" and parsed["dsp-4-seed2"].seed == 2
        grid = {"method": ["dsp", "uniform"], "heads_to_keep": [37, 4], "seed": [1, 2]}
        with pytest.raises(BadInput) as raised:
            check.parsed(cells(tmp_path, grid=grid, generate="--beam 5 --fast"))
        assert str(raised.value).splitlines() == [
            "train: --heads-to-keep 37: must be 0 to 36, the heads of this model (dsp-37-seed1 and 3 more)",
            "generate: unrecognized arguments: --fast (dsp-37-seed1)",
        ]


class TestFolders:
    """A cell's folder belongs to its flags."""

    def start(self, cell, **record):
        os.makedirs(cell.folder)
        records.write(cell, records.Record(**record))

    def test_the_same_flags_are_no_problem_wherever_the_folder_lies(self, tmp_path):
        [cell] = cells(tmp_path, grid={"method": "dsp", "heads_to_keep": 4, "seed": 1})
        self.start(cell)
        assert records.problems([cell]) == []
        (tmp_path / "out").rename(tmp_path / "moved")
        [moved] = cells(tmp_path, out=str(tmp_path / "moved"), grid={"method": "dsp", "heads_to_keep": 4, "seed": 1})
        assert records.problems([moved]) == []

    def test_other_flags_are_told_with_the_first_difference(self, tmp_path):
        self.start(cells(tmp_path)[0])
        changed = cells(tmp_path, train=TRAIN.replace("800", "900"))
        [line] = records.problems(changed)
        told = "was made with other flags (train: --max-tokens 800, now --max-tokens 900); remove"
        assert line.startswith(f"{tmp_path / 'out' / 'dsp-12-seed1'}: {told}")
        [line] = records.problems(cells(tmp_path, generate="--beam 5"))
        assert "(generate: --remove-bpe, now nothing)" in line

    def test_something_else_and_a_damaged_record(self, tmp_path):
        first, second = cells(tmp_path)[:2]
        for cell, name in ((first, "notes.txt"), (second, "cell.json")):
            os.makedirs(cell.folder)
            Path(cell.file(name)).write_text("hello")
        one, two = records.problems([first, second])
        assert "holds something else than a cell" in one and "cell.json: is damaged" in two

    def test_files_that_went_are_made_again(self, tmp_path):
        cell = cells(tmp_path)[0]
        self.start(cell, train_seconds=1.0, generate_seconds=2.0)
        Path(cell.translations).write_text("x")
        assert records.read(cell).decoded  # the checkpoint may be removed afterwards
        Path(cell.checkpoint).write_text("x")
        os.remove(cell.translations)
        assert records.read(cell).trained and not records.read(cell).decoded
        os.remove(cell.checkpoint)
        assert not records.read(cell).trained


class TestLogs:
    def test_progress_is_of_the_updates_or_the_epochs(self, tmp_path):
        cell = cells(tmp_path, train=f"{TRAIN} --max-epoch=4")[0]
        assert logs.progress(cell) == (0, 0.0, None)
        os.makedirs(cell.folder)
        lines = [{"epoch": 1, "update": 0.5, "num_updates": "3", "heads_kept": "36"}]
        lines += [{"epoch": 3, "update": 3.0, "num_updates": "12", "heads_kept": "20.0"}]
        Path(cell.train_log).write_text("\n".join(map(json.dumps, lines)) + '\n{"num_upd')
        assert logs.progress(cell) == (12, 0.75, 20)

    @pytest.mark.parametrize(
        "text, told",
        [
            ("Traceback\n  x\nRuntimeError: no luck\nbye\n", "RuntimeError: no luck"),
            ("fairseq-train: error: one\nfairseq-train: error: two", "fairseq-train: error: two"),
            ("a\nb\n\n", "b"),
            ("", "printed nothing"),
        ],
    )
    def test_last_error(self, tmp_path, text, told):
        (tmp_path / "log").write_text(text)
        assert logs.last_error(str(tmp_path / "none"), str(tmp_path / "log")) == told

    def test_hypotheses_are_in_order_and_the_best(self, tmp_path):
        cell = cells(tmp_path)[0]
        os.makedirs(cell.folder)
        Path(cell.translations).write_text("D-10\t-1\tc\nH-0\t-1\tx\nD-0\t-1\ta\nD-0\t-2\tworse\nD-2\t-1\tb\u2028b\n")
        assert logs.hypotheses(cell) == ["a", "b\u2028b", "c"]


class TestEstimate:
    def record(self, cell, **record):
        os.makedirs(cell.folder)
        records.write(cell, records.Record(**record))

    def test_from_finished_cells(self, tmp_path):
        found = cells(tmp_path)  # 8
        for cell in found[:2]:
            self.record(cell, train_seconds=100.0, generate_seconds=20.0)
            Path(cell.translations).write_text("x")
        self.record(found[2], train_seconds=90.0)
        Path(found[2].checkpoint).write_text("x")
        self.record(found[3])
        Path(found[3].train_log).write_text('{"num_updates": "15"}')
        seconds, basis = estimate.estimate(found, {}, 1)
        assert seconds == pytest.approx(20 + (50 + 20) + 4 * 120) and "2 of 8" in basis
        # one job takes 20 + 120 + 120, the other 70 + 120 + 120
        assert estimate.estimate(found, {}, 2).seconds == pytest.approx(310)

    def test_from_the_size_of_a_training(self, tmp_path, monkeypatch):
        monkeypatch.setattr(estimate, "_operations_per_second", lambda *_: 1e9)
        (tmp_path / "dict.en.txt").write_text("a 1\n" * 100)
        shape = {f"{side}_{part}": n for side in ("encoder", "decoder") for part, n in
                 (("embed_dim", 10), ("ffn_embed_dim", 20), ("layers", 2))}  # fmt: skip
        arguments = Namespace(
            arch="gated_transformer",
            data=str(tmp_path),
            max_tokens=1000,
            update_freq=[2],
            max_update=50,
            max_epoch=0,
            cpu=True,
            **shape,
        )
        weights = 2 * (400 + 400) + 2 * (800 + 400) + 10 * 100
        product = 6 * 0.8 * 1000 * 2 * weights / 1e9
        expected = 50 * (estimate._OVERHEAD * product + estimate._PER_UPDATE)
        assert estimate.training_seconds(arguments) == pytest.approx(expected)
        arguments.max_update = 0
        with pytest.raises(LookupError, match="--max-update"):
            estimate.training_seconds(arguments)

    def test_nothing_to_tell_it_from(self, tmp_path):
        found = cells(tmp_path)
        parsed = {cell.name: Namespace(max_tokens=8, update_freq=[1], max_update=0, max_epoch=0) for cell in found}
        seconds, basis = estimate.estimate(found, parsed, 1)
        assert seconds is None and "--max-update" in basis


@pytest.fixture(autouse=True)
def wide_screen(monkeypatch):
    """Every table in one piece."""
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def pretended(tmp_path, monkeypatch):
    """Commands that pretend; returns the function that runs a sweep and one that tells which commands were called."""
    calls = tmp_path / "calls"
    calls.touch()
    for name in (plan.TRAIN, plan.GENERATE, plan.VALIDATE, plan.OWN):
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(FAKE.format(python=sys.executable))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(executors, "executable", lambda name: str(tmp_path / "bin" / name))
    monkeypatch.setattr(job, "parsed", lambda cells, choice: {})
    monkeypatch.setattr("dsp_fairseq.sweep.trained.read", pretended_training)
    monkeypatch.setattr("dsp_fairseq.sweep.run._PAUSE", 0.02)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("CALLS", str(calls))

    def run(path, *arguments, **what):
        monkeypatch.setenv("FAKE", json.dumps({name.replace("_", "-"): told for name, told in what.items()}))
        return main(["sweep", path, "--no-plots", *arguments])

    def called():
        lines = [json.loads(line) for line in calls.read_text().splitlines()]
        calls.write_text("")
        return lines

    return run, called


GRID = {"method": ["dsp"], "heads_to_keep": [12], "seed": [1, 2]}
ONE, TWO = "dsp-12-seed1", "dsp-12-seed2"


class TestRun:
    def test_everything_once_then_nothing(self, tmp_path, pretended, capsys):
        run, called = pretended
        path = write_config(tmp_path, grid=GRID)
        assert run(path) == 0
        assert [line[:3] for line in called()] == [
            ["fairseq-train", ONE, "1"], ["fairseq-generate", ONE, "1"],
            ["fairseq-train", TWO, "1"], ["fairseq-generate", TWO, "1"],
        ]  # fmt: skip
        assert "| dsp      |     12 of 36 |       2 | 31.25 (31.25 to 31.25) | 2.500 (2.500 to 2.500) |" in (
            capsys.readouterr().out
        )
        first = {name: (tmp_path / "out" / name).read_text() for name in ("results.csv", "results.md")}
        os.remove(tmp_path / "out" / "results.md")
        assert run(path) == 0 and called() == []
        assert {name: (tmp_path / "out" / name).read_text() for name in first} == first
        assert "2 of 2 cells were done before" in capsys.readouterr().err

    def test_a_failure_stops_nothing_else_and_is_tried_again(self, tmp_path, pretended, capsys):
        run, called = pretended
        path = write_config(tmp_path, grid={**GRID, "seed": [1, 2, 3]})
        what = {f"{ONE} fairseq-train": "fail", f"{TWO} fairseq-generate": "kill"}
        assert run(path, **what) == 1
        assert [line[:2] for line in called()] == [
            ["fairseq-train", ONE], ["fairseq-train", TWO], ["fairseq-generate", TWO],
            ["fairseq-train", "dsp-12-seed3"], ["fairseq-generate", "dsp-12-seed3"],
        ]  # fmt: skip
        out = tmp_path / "out"
        assert [line for line in capsys.readouterr().err.splitlines() if "error:" in line] == [
            f"dsp-fairseq sweep: error: {ONE}: fairseq-train failed: RuntimeError: out of luck "
            f"(all of it: {out}/{ONE}/train.txt)",
            f"dsp-fairseq sweep: error: {TWO}: fairseq-generate failed: killed by SIGKILL, perhaps for want of memory; "
            f"before that: printed nothing (all of it: {out}/{TWO}/generate.log)",
            "dsp-fairseq sweep: error: 2 of 3 cells failed; the same command tries them again",
        ]
        assert "Not in it, because they failed: dsp-12-seed1, dsp-12-seed2." in (out / "results.md").read_text()
        assert len((out / "results.csv").read_text().splitlines()) == 2
        assert run(path) == 0
        assert [line[:2] for line in called()] == [
            ["fairseq-train", ONE], ["fairseq-generate", ONE], ["fairseq-generate", TWO],
        ]  # fmt: skip

    def test_a_cell_waits_for_the_one_that_it_starts_from(self, tmp_path, pretended, capsys):
        run, called = pretended
        grid = {"method": ["dsp"], "heads_to_keep": [12], "seed": [1]}
        path = write_config(tmp_path, grid=grid, after={"michel": "--score gradient"}, tune="--lr 1")
        assert run(path, "--jobs", "9", unpruned_seed1="", **{"unpruned-seed1 fairseq-train": "fail"}) == 1
        told = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]
        assert any("michel-after-12-seed1: starts from unpruned-seed1, which failed" in line for line in told)
        assert any(
            "michel-after-12-seed1-tuned: starts from michel-after-12-seed1, which failed" in line for line in told
        )
        assert "4 of 6 cells failed" in told[-1]
        assert not [line for line in called() if "michel" in line[1]]
        assert run(path, "--jobs", "9") == 0
        names = [(line[0], line[1]) for line in called()]
        place = {name: names.index(name) for name in names}
        chosen = "michel-after-12-seed1"
        order = [("fairseq-generate", "unpruned-seed1"), ("dsp-fairseq", chosen), ("fairseq-validate", chosen),
                 ("fairseq-generate", chosen), ("dsp-fairseq", f"{chosen}-tuned"),
                 ("fairseq-train", f"{chosen}-tuned")]  # fmt: skip
        assert sorted(order, key=place.get) == order
        rows = {row["cell"]: row for row in csv.DictReader((tmp_path / "out" / "results.csv").open())}
        assert (rows[chosen]["method"], rows[chosen]["valid_nll"]) == ("michel-after", "3.5")
        assert rows[f"{chosen}-tuned"]["method"] == "michel-after-tuned" and len(rows) == 6

    def test_a_sweep_stops_in_time_and_goes_on_seed_by_seed(self, tmp_path, pretended, capsys, monkeypatch):
        run, called = pretended
        path = write_config(tmp_path, grid={**GRID, "heads_to_keep": [12, 4]})
        with monkeypatch.context() as short:
            short.setattr("dsp_fairseq.commands.sweep.time", Namespace(monotonic=lambda: -1e9))
            assert run(path, "--minutes", "1") == 3
        assert "the time is up; nothing is lost" in capsys.readouterr().err and called() == []
        assert run(path, "--minutes", "9") == 0
        seeds = [line[1][-5:] for line in called()]
        assert seeds == sorted(seeds) and len(seeds) == 8

    def test_a_full_disk_and_a_signal_without_a_name_are_told(self, pretended, tmp_path, capsys, monkeypatch):
        run, _ = pretended
        monkeypatch.setattr(run_module.shutil, "disk_usage", lambda _: Namespace(free=4096))
        path = write_config(tmp_path, grid={**GRID, "seed": [1, 2]})
        assert run(path, **{f"{ONE} fairseq-train": "silent", f"{TWO} fairseq-train": "nameless"}) == 1
        told = capsys.readouterr().err
        assert (
            f"{ONE}: fairseq-train failed: 4,096 bytes are left on the disk of {tmp_path}/out/{ONE}, make room" in told
        )
        assert f"{TWO}: fairseq-train failed: killed by signal 40, perhaps for want of memory" in told

    def test_a_training_that_saved_nothing_starts_with_a_new_log(self, tmp_path, pretended):
        run, _ = pretended
        folder = tmp_path / "out" / ONE
        cell = cells(tmp_path, grid=GRID)[0]
        folder.mkdir(parents=True)
        records.write(cell, records.Record())
        (folder / "train.log").write_text('{"num_updates": "29"}\n')
        assert run(write_config(tmp_path, grid=GRID)) == 0
        assert "29" not in (folder / "train.log").read_text()

    def test_a_closed_terminal_does_not_end_what_nohup_started(self, tmp_path, pretended):
        run, _ = pretended
        before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        log = tmp_path / "out" / ONE / "train.log"
        closing = threading.Thread(target=interrupt_when, args=(log.exists, signal.SIGHUP))
        closing.start()
        try:
            assert run(write_config(tmp_path, grid=GRID)) == 0
        finally:
            closing.join()
            signal.signal(signal.SIGHUP, before)

    def test_nothing_finished_writes_no_results(self, tmp_path, pretended):
        run, _ = pretended
        assert run(write_config(tmp_path, grid=GRID), **{f"{c} fairseq-train": "fail" for c in (ONE, TWO)}) == 1
        assert sorted(os.listdir(tmp_path / "out")) == [".lock", ONE, TWO]

    def test_jobs_run_at_a_time(self, tmp_path, pretended):
        run, _ = pretended
        each_waits_for_the_other = {f"{name} fairseq-train": "wait" for name in (ONE, TWO)}
        assert run(write_config(tmp_path, grid=GRID), "--jobs", "2", **each_waits_for_the_other) == 0
        with open(tmp_path / "out" / ONE / "cell.json") as file:
            assert json.load(file)["jobs"] == 2

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_an_interruption_stops_the_children_and_the_training_goes_on_later(
        self, tmp_path, pretended, capsys, number
    ):
        run, called = pretended
        path = write_config(tmp_path, grid=GRID)
        log = tmp_path / "out" / ONE / "train.log"
        is_time = lambda: log.exists() and "20" in log.read_text()  # noqa: E731
        interrupting = threading.Thread(target=interrupt_when, args=(is_time, number))
        before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
        try:
            interrupting.start()
            assert run(path, **{f"{ONE} fairseq-train": "hang"}) == 130
            interrupting.join()
        finally:
            signal.signal(signal.SIGINT, before)
        assert "interrupted; nothing is lost, the same command goes on" in capsys.readouterr().err
        [(_, _, _, pid)] = called()
        assert not os.path.exists(f"/proc/{pid}")
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
        assert run(path) == 0
        assert next(line[:2] for line in called()) == ["fairseq-train", ONE]
        assert (tmp_path / "out" / ONE / "checkpoint_last.pt").read_text() == "20"  # it did not start anew
        assert "dsp-12-seed1: training goes on, 20 updates were logged" in capsys.readouterr().err

    def test_a_job_that_is_left_keeps_the_folder_locked_and_stops_with_its_command(self, tmp_path, monkeypatch):
        monkeypatch.setattr("dsp_fairseq.sweep.lock.PATIENCE", 0.1)
        with locked(str(tmp_path)) as lock, executors.opened("local", str(tmp_path), (lock,), {}) as executor:
            job, command = sleeping(executor, tmp_path)
        try:
            with pytest.raises(BadInput), locked(str(tmp_path)):
                pass
        finally:
            executors.stop([job])
        with locked(str(tmp_path)):
            assert not alive(command)

    def test_a_job_dies_with_a_killed_sweep(self, tmp_path, monkeypatch):
        """kill -9 of the sweep, not of its job."""
        code = (
            "import sys, time; sys.path.insert(0, sys.argv[2]); import test_sweep as test\n"
            "out = sys.argv[1]\n"
            "with test.locked(out) as lock, test.executors.opened('local', out, (lock,), {}) as executor:\n"
            "    print(test.sleeping(executor, test.Path(out))[1], flush=True); time.sleep(60)"
        )
        words = [sys.executable, "-c", code, str(tmp_path), str(Path(__file__).parent)]
        sweep = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        command = int(sweep.stdout.readline())
        monkeypatch.setattr("dsp_fairseq.sweep.lock.PATIENCE", 0.2)
        with pytest.raises(BadInput, match="another sweep is working in"), locked(str(tmp_path)):
            pass
        monkeypatch.setattr("dsp_fairseq.sweep.lock.PATIENCE", 5)
        sweep.kill()
        sweep.wait()
        with locked(str(tmp_path)):
            assert not alive(command)

    def test_another_sweep_is_refused(self, tmp_path, pretended, capsys, monkeypatch):
        run, called = pretended
        monkeypatch.setattr("dsp_fairseq.sweep.lock.PATIENCE", 0.1)
        (tmp_path / "out").mkdir()
        with locked(str(tmp_path / "out")):
            assert run(write_config(tmp_path, grid=GRID)) == 2
        [line] = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
        assert "another sweep is working in" in line and "--out" in line and called() == []

    def test_dry_run_does_nothing(self, tmp_path, pretended, capsys):
        run, called = pretended
        assert run(write_config(tmp_path, grid=GRID), "--dry-run") == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == "export OMP_NUM_THREADS=1" and lines[2] == f"# {ONE}: to be trained and decoded"
        assert [shlex.split(line)[0] for line in lines[3:6]] == ["mkdir", "fairseq-train", "fairseq-generate"]
        assert lines[-1].startswith("# 2 cells, time: ")
        assert called() == [] and not (tmp_path / "out").exists()

    def test_other_flags_are_refused_before_anything(self, tmp_path, pretended, capsys):
        run, called = pretended
        assert run(write_config(tmp_path, grid=GRID)) == 0
        called()
        before = (tmp_path / "out" / "results.csv").read_text()
        assert run(write_config(tmp_path, grid=GRID, train=TRAIN.replace("30", "40"))) == 2
        errors = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
        assert len(errors) == 2 and "--max-update 30, now --max-update 40" in errors[0]
        assert run(str(tmp_path / "sweep.yaml"), "--dry-run") == 2
        assert called() == [] and (tmp_path / "out" / "results.csv").read_text() == before

    def test_sacrebleu(self, tmp_path, pretended):
        run, _ = pretended
        (tmp_path / "test.en").write_text("this is the first one\nthe second sentence is here\n")
        path = write_config(tmp_path, grid=GRID, score={"sacrebleu": str(tmp_path / "test.en")})
        assert run(path) == 0
        [row, _] = csv.DictReader(io.StringIO((tmp_path / "out" / "results.csv").read_text()))
        assert row["bleu"] == "100.00"
        assert "- BLEU: sacreBLEU nrefs:1|case:mixed|eff:no|tok:13a" in (tmp_path / "out" / "results.md").read_text()

    def test_a_reference_of_another_length(self, tmp_path, pretended, capsys):
        run, _ = pretended
        (tmp_path / "test.en").write_text("one line\n")
        assert run(write_config(tmp_path, grid=GRID, score={"sacrebleu": str(tmp_path / "test.en")})) == 1
        assert "has 2 translations, score.sacrebleu" in capsys.readouterr().err

    def test_a_line_separator_within_a_reference_is_no_end_of_line(self, tmp_path, pretended):
        run, _ = pretended
        (tmp_path / "test.en").write_text("this is the\u2028first one\nthe second sentence is here\n")
        assert run(write_config(tmp_path, grid=GRID, score={"sacrebleu": str(tmp_path / "test.en")})) == 0

    def test_a_training_whose_checkpoint_cannot_be_read_is_tried_again(self, tmp_path, pretended, monkeypatch, capsys):
        run, called = pretended
        path = write_config(tmp_path, grid={**GRID, "seed": [1]})
        with monkeypatch.context() as broken:
            broken.setattr("dsp_fairseq.sweep.trained.read", out_of_luck)
            assert run(path) == 1
        assert f"{ONE}: fairseq-train ended well, but out of luck" in capsys.readouterr().err
        assert [line[0] for line in called()] == ["fairseq-train"]
        assert run(path) == 0
        assert [line[0] for line in called()] == ["fairseq-train", "fairseq-generate"]


# a cluster of one machine: $SLURM holds the batch scripts by job, and the states that `sacct` tells
SLURM = {
    "sbatch": '''last=$(cat "$SLURM/last" 2>/dev/null || echo 100); job=$((last + 1)); echo $job >"$SLURM/last"
[ ! -e "$SLURM/refuse" ] || { echo "sbatch: error: invalid partition specified: no-such" >&2; exit 1; }
cp "$1" "$SLURM/$job.sh"; echo RUNNING >"$SLURM/$job"
export SLURM_JOB_ID=$job SLURM_NTASKS=1 SLURM_JOB_NUM_NODES=1 SLURM_NODEID=0 SLURM_PROCID=0 SLURM_LOCALID=0
if [ ! -e "$SLURM/hold" ]; then { setsid bash "$1"; echo COMPLETED >"$SLURM/$job"; } >/dev/null 2>&1 & fi
echo "Submitted batch job $job"''',
    "srun": 'while :; do case $1 in --output | --error) shift 2 ;; --*) shift ;; *) break ;; esac; done; exec "$@"',
    "sacct": """echo "JobID|State|NodeList"
while [ $# -gt 0 ]; do [ "$1" != -j ] || echo "$2|$(cat "$SLURM/$2")|node1"; shift; done""",
    "scancel": 'echo CANCELLED >"$SLURM/$1"',
}


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """The folder of a pretended cluster."""
    folder = tmp_path / "slurm"
    folder.mkdir()
    for name, text in SLURM.items():
        path = folder / name
        path.write_text(f"#!/usr/bin/env bash\n{text}\n")
        path.chmod(0o755)
    monkeypatch.setenv("SLURM", str(folder))
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr("dsp_fairseq.sweep.run._SLURM_PAUSE", 0.05)
    # it remembers the states of jobs, which have the same numbers in every test
    monkeypatch.setattr(submitit.SlurmJob, "watcher", type(submitit.SlurmJob.watcher)(delay_s=600))
    return folder


class TestSlurm:
    def test_every_cell_is_a_job_with_the_options_that_were_given(self, tmp_path, pretended, slurm):
        run, called = pretended
        options = ["--cluster", "slurm", "--slurm-partition", "gpu", "--slurm-time", "90", "--slurm-gpus", "1"]
        options += ["--slurm-cpus", "4", "--slurm-mem", "16G", "--slurm-account", "us", "--slurm-qos", "low"]
        path = write_config(tmp_path, grid=GRID)
        assert run(path, *options, "--slurm-extra", "constraint=a100", "--slurm-extra", "exclusive") == 0
        assert sorted(line[:2] for line in called()) == sorted(
            [command, cell] for command in ("fairseq-train", "fairseq-generate") for cell in (ONE, TWO)
        )
        script = (slurm / "101.sh").read_text().splitlines()
        for option in (
            f"job-name={ONE}", "partition=gpu", "time=90", "gpus-per-node=1", "cpus-per-task=4", "mem=16G",
            "account=us", "qos=low", "constraint=a100", "exclusive", "signal=USR2@90",
        ):  # fmt: skip
            assert f"#SBATCH --{option}" in script
        assert not [line for line in script if "wckey" in line]
        assert "submitit.core._submit" in script[-1] and script[-1].startswith("srun ")
        assert (slurm / "102.sh").exists() and not (slurm / "103.sh").exists()
        rows = list(csv.DictReader((tmp_path / "out" / "results.csv").open()))
        assert [(row["cell"], row["bleu"]) for row in rows] == [(ONE, "31.25"), (TWO, "31.25")]

    def test_what_is_pickled_is_a_command(self, tmp_path, pretended, slurm):
        import pickletools

        run, _ = pretended
        assert run(write_config(tmp_path, grid={**GRID, "seed": [1]}), "--cluster", "slurm") == 0
        [path] = (tmp_path / "out" / executors.FOLDER).glob("*_submitted.pkl")
        strings, names = [], []
        for operation, argument, _ in pickletools.genops(path.read_bytes()):
            if operation.name == "STACK_GLOBAL":
                names.append(tuple(strings[-2:]))
            if isinstance(argument, str):
                strings.append(argument)
        assert names == [("submitit.core.utils", "DelayedSubmission"), ("subprocess", "call")]

    def test_a_sweep_that_was_killed_finds_its_jobs_again(self, tmp_path, pretended, slurm, capsys):
        run, called = pretended
        path = write_config(tmp_path, grid={**GRID, "seed": [1]})
        (slurm / "101").write_text("COMPLETED\n")
        (slurm / "last").write_text("101")
        assert run(path, "--cluster", "slurm") == 0
        [cell] = cells(tmp_path, grid={**GRID, "seed": [1]})
        # as a sweep leaves it that dies while the job goes on
        Path(cell.translations).rename(f"{cell.translations}.partial")
        records.write(cell, records.Record())
        records.write_slurm_job(cell, "101")
        Path(cell.file("outcome.json")).write_text(json.dumps({"started": 2, "status": 0, "seconds": 3.0}))
        called()
        assert run(path) == 2
        assert "job 101 of Slurm may be at work there; say --cluster slurm" in capsys.readouterr().err
        assert run(path, "--cluster", "slurm") == 0
        assert called() == [] and not (slurm / "103.sh").exists()
        assert json.loads(Path(cell.file("cell.json")).read_text())["generate_seconds"] == 3.0
        assert records.slurm_job(cell) is None

    def test_a_job_that_was_cancelled_is_submitted_again(self, tmp_path, pretended, slurm, monkeypatch, capsys):
        run, called = pretended
        path = write_config(tmp_path, grid={**GRID, "seed": [1]})
        (slurm / "hold").touch()
        interrupting = threading.Thread(target=interrupt_when, args=((slurm / "101").exists, signal.SIGTERM))
        interrupting.start()
        assert run(path, "--cluster", "slurm") == 130
        interrupting.join()
        assert (slurm / "101").read_text() == "CANCELLED\n" and called() == []
        (slurm / "hold").unlink()
        assert run(path, "--cluster", "slurm") == 0
        assert f"{ONE}: job 101 was submitted before" in capsys.readouterr().err and (slurm / "102.sh").exists()
        assert [line[0] for line in called()] == ["fairseq-train", "fairseq-generate"]

    def test_what_sbatch_refuses_is_told_in_one_line(self, tmp_path, pretended, slurm, capsys):
        run, _ = pretended
        (slurm / "refuse").touch()
        assert run(write_config(tmp_path, grid=GRID), "--cluster", "slurm") == 1
        [line] = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
        assert line.endswith(f"{ONE}: could not be submitted: sbatch: error: invalid partition specified: no-such")

    def test_without_slurm(self, tmp_path, pretended, capsys, monkeypatch):
        run, _ = pretended
        path = write_config(tmp_path, grid=GRID)
        assert run(path, "--slurm-gpus", "1") == 2
        assert "these options go with --cluster slurm" in capsys.readouterr().err
        monkeypatch.setattr(executors.shutil, "which", lambda _: None)
        assert run(path, "--cluster", "slurm") == 2
        assert "--cluster slurm: needs sbatch, srun, sacct of Slurm on PATH" in capsys.readouterr().err


def test_a_job_runs_through_submitits_debug_executor_too(tmp_path):
    steps = [{"words": ("sh", "-c", f"echo {n}; exit {n}"), "output": str(tmp_path / f"{n}.txt"), "errors": None}
             for n in (0, 3, 0)]  # fmt: skip
    job = executors.start(submitit.DebugExecutor(tmp_path / "jobs"), "x", steps, str(tmp_path / "outcome.json"))
    assert job.done()
    outcome = json.loads((tmp_path / "outcome.json").read_text())
    assert (outcome["started"], outcome["status"]) == (2, 3)
    assert (tmp_path / "3.txt").read_text() == "3\n"


def pretended_training(cell):
    assert os.path.isfile(cell.checkpoint)
    record = with_heads(records.Record(), 12)
    return trained.Trained(77.0, record.kept, record.heads)


def out_of_luck(cell):
    raise Failed("out of luck")


def sleeping(executor, folder):
    """A job that sleeps, and the process of its command."""
    words = ("sh", "-c", f"echo $$ >{folder}/pid.new; mv {folder}/pid.new {folder}/pid; exec sleep 60")
    step = {"words": words, "output": str(folder / "sleep.txt"), "errors": None}
    job = executors.start(executor, "sleep", [step], str(folder / "outcome.json"))
    until = time.monotonic() + 20
    while not (folder / "pid").exists() and time.monotonic() < until:
        time.sleep(0.02)
    return job, int((folder / "pid").read_text())


def interrupt_when(is_time, number):
    until = time.monotonic() + 20
    while not is_time() and time.monotonic() < until:
        time.sleep(0.02)
    os.kill(os.getpid(), number)


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def with_heads(record, heads, layers=3, of=4, chosen=None):
    inventory = transformer_inventory(layers, of, layers, of)
    chosen = uniform_order(inventory)[:heads] if chosen is None else chosen
    kept = inventory.keeping([head in chosen for head in range(inventory.units)]).indices()
    return record._replace(kept=kept, heads={block.name: block.original_units for block in inventory.blocks})


def row(method, heads, seed, bleu, nll=2.5, **shape):
    cell = plan.Cell(f"x/{method}-{heads}-{seed}", method, None if method == "none" else str(heads), seed, {}, (), ())
    record = with_heads(records.Record(60.0, 10.0, 2), heads, **shape)
    return Row(cell, record, bleu, nll)


RESULTS = Results(
    [
        row("none", 36, 1, 40.0, 2.0),
        row("none", 36, 2, 41.0, None),
        row("dsp", 4, 1, 30.0),
        row("dsp", 12, 1, 37.0, chosen=range(12)),
        row("dsp", 12, 2, 38.5, chosen=range(1, 13)),
        row("other", 12, 1, 36.0),
    ],
    "BLEU of the test",
)


class TestResults:
    def test_table(self):
        lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in as_table(RESULTS).splitlines()[2:]]
        assert lines == [
            ["all heads", "36 of 36", "2", "40.50 (40.00 to 41.00)", "2.000"],
            ["dsp", "12 of 36", "2", "37.75 (37.00 to 38.50)", "2.500 (2.500 to 2.500)"],
            ["dsp", "4 of 36", "1", "30.00", "2.500"],
            ["other", "12 of 36", "1", "36.00", "2.500"],
        ]

    def test_markdown_says_how(self, tmp_path):
        config = read_config(write_config(tmp_path, method_flags={"dsp": "--search-updates 9"}))
        text = as_markdown(RESULTS, config, ["dsp-4-seed2"])
        assert "- fairseq-train, dsp: `--search-updates 9`" in text
        assert "sentences/s" not in text and "`dsp-fairseq bench` times checkpoints in turns" in text
        assert "BLEU of the test" in text and "they failed: dsp-4-seed2." in text

    def test_csv(self):
        assert "sentences" not in as_csv(RESULTS)  # each cell was timed at another moment
        lines = list(csv.DictReader(io.StringIO(as_csv(RESULTS))))
        assert lines[3]["bleu"] == "37.00" and lines[3]["heads"] == "12" and lines[1]["valid_nll"] == ""
        assert [lines[3][kind] for kind in ("encoder_self", "decoder_self", "decoder_cross")] == ["12", "0", "0"]
        assert [lines[2][kind] for kind in ("encoder_self", "decoder_self", "decoder_cross")] == ["0", "1", "3"]

    def test_a_cell_without_its_score_is_told(self, tmp_path):
        config = read_config(write_config(tmp_path))
        cell = plan.cells_of(config)[0]
        os.makedirs(cell.folder)
        Path(cell.translations).write_text("nothing\n")
        records.write(cell, with_heads(records.Record(1.0, 2.0, 1), 12))
        results, problems = collect([cell], config)
        assert results.rows == [] and "dsp-12-seed1: fairseq-generate printed no BLEU4" in problems[0]


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="matplotlib is an extra")
class TestPictures:
    def test_curve_has_means_bands_and_the_unpruned_line(self):
        from dsp_fairseq.sweep import curves

        [panel] = curves.draw_heads(RESULTS).axes
        lines = {line.get_label(): line for line in panel.get_lines()}
        assert list(lines["dsp"].get_xdata()) == [12, 4] and list(lines["dsp"].get_ydata()) == [37.75, 30.0]
        assert set(lines["all 36 heads"].get_ydata()) == {40.5}
        assert [text.get_text() for text in panel.get_legend().get_texts()] == ["all 36 heads", "dsp", "other"]
        [band] = [part for part in panel.collections if len(part.get_paths()[0].vertices) > 4]
        assert {tuple(point) for point in band.get_paths()[0].vertices} >= {(12, 37.0), (12, 38.5), (4, 30.0)}
        assert lines["dsp"].get_color() != lines["other"].get_color()

    def test_ticks_that_would_touch_are_left_out(self):
        from dsp_fairseq.sweep import curves

        rows = [row("dsp", heads, 1, 30.0) for heads in (24, 12, 11, 2)]
        [panel] = curves.draw_heads(RESULTS._replace(rows=rows)).axes
        assert panel.get_xscale() == "log" and list(panel.get_xticks()) == [24, 12, 2]
        [panel] = curves.draw_heads(RESULTS._replace(rows=[*rows, row("dsp", 0, 1, 1.0)])).axes
        assert panel.get_xscale() == "linear" and 0 in panel.get_xticks()

    def test_heads_count_the_seeds(self):
        from dsp_fairseq.sweep import survival

        panels = [axes for axes in survival.draw(RESULTS).axes if axes.get_title(loc="left")]
        maps = {panel.get_title(loc="left"): panel.collections[0].get_array() for panel in panels}
        twelve = maps["12 heads"]
        assert set(maps) == {"12 heads", "4 heads (1 of 2 seeds)", "12 heads (1 of 2 seeds)"}
        assert twelve.shape == (9, 4)
        assert twelve[:3].tolist() == [[1, 2, 2, 2], [2, 2, 2, 2], [2, 2, 2, 2]] and twelve[3].tolist() == [1, 0, 0, 0]

    @pytest.mark.parametrize("rows", [RESULTS.rows[:1], RESULTS.rows[2:3], [row("dsp", 0, 1, 1.0)]])
    def test_little_is_enough(self, rows):
        from dsp_fairseq.sweep import curves, survival

        for draw in (curves.draw_heads, survival.draw):
            draw(RESULTS._replace(rows=rows)).draw_without_rendering()
