"""Sweeps: what the file may say, the plan, the figures that come out."""

import csv
import importlib.util
import io
import json
import os
import shlex
from argparse import Namespace
from pathlib import Path

import pytest
import yaml
from sweep_cases import TRAIN, cells, with_heads, write_config

from dsp_fairseq.commands.sweep import parsed_choice
from dsp_fairseq.errors import BadInput
from dsp_fairseq.sweep import check, estimate, logs, plan, records
from dsp_fairseq.sweep.amounts import Amount
from dsp_fairseq.sweep.config import read_config
from dsp_fairseq.sweep.results import Results, Row, as_csv, collect
from dsp_fairseq.sweep.table import as_markdown, as_table

PROJECT = Path(__file__).resolve().parents[2]


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
        assert (config.methods, config.amounts, config.seeds) == (("ste",), (("heads_to_keep", "3"),), (7,))

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
        "other budgets": (
            {
                "grid": {
                    "method": "dsp",
                    "seed": 1,
                    "ffn_to_keep": ["x", "encoder.self=3"],
                    "parameters_to_keep": [0.5, "50 %", "50%", "50%"],
                    "layers_to_keep": [4, "encoder=1", "encoder=1,decoder=x"],
                }
            },
            [
                "grid.ffn_to_keep x: must be a number of hidden units, or one for each kind of block: encoder.ffn=512",
                "grid.ffn_to_keep encoder.self=3: must be",
                "grid.layers_to_keep 4: must be a number of layers for each stack, between quotation marks: encoder=2",
                "grid.layers_to_keep encoder=1: must be",
                "grid.layers_to_keep encoder=1,decoder=x: must be",
                "grid.parameters_to_keep 0.5: must be a number of parameters, or a share such as 50%",
                "grid.parameters_to_keep 50 %: must be",
                "grid.parameters_to_keep 50%: stands 2 times",
            ],
        ),
        "no budget": ({"grid": {"method": "dsp", "seed": 1}}, ["grid.heads_to_keep is missing: give one value"]),
        "empty budget": (
            {"grid": {"method": "dsp", "seed": 1, "heads_to_keep": 3, "parameters_to_keep": []}},
            ["grid.parameters_to_keep is missing: give one value or more, such as [50%, 25%]"],
        ),
        "budget in train": (
            {"train": f"{TRAIN} --parameters-to-keep 50% --teacher x.pt"},
            ["train --parameters-to-keep: the sweep sets it from grid.", "train --teacher: the sweep sets it where"],
        ),
        "layers in train": (
            {"train": f"{TRAIN} --layers-to-keep encoder=2,decoder=1"},
            ["train --layers-to-keep: the unpruned model keeps all layers; give it in method_flags, or as grid."],
        ),
        "layers twice": (
            {
                "grid": {"method": "dsp", "layers_to_keep": "encoder=1,decoder=1", "seed": 1},
                "method_flags": {"dsp": "--layers-to-keep encoder=2,decoder=1"},
            },
            ["method_flags.dsp --layers-to-keep: grid.layers_to_keep says so too"],
        ),
        "dense": (
            {"dense": {"dsp": "--arch x", "A b": "--arch x", "small": "--seed 3"}},
            [
                "dense.dsp --arch x: is the name of a method",
                "dense.A b --arch x: its name must be small letters",
                "dense.small --seed: the sweep sets",
            ],
        ),
        "no distillation": ({"distillation": "--teacher x"}, ["distillation --teacher x: must be one or more of --d"]),
        "distillation": (
            {"distillation": "--distillation-weight 2 --distillation-temperature x"},
            [
                "distillation --distillation-weight 2: must be 0 to 1",
                "distillation --distillation-temperature x: must be",
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
        "shares of weights": (
            {"grid": {"method": "movement", "seed": 1, "weights_to_keep": [0.5, "100%", "50%"]}},
            [
                "grid.weights_to_keep 0.5: must be a share of the weights below 100%, such as 50%",
                "weights_to_keep 100%",
            ],
        ),
        "no share of weights": (
            {"grid": {"method": ["dsp", "movement"], "seed": 1, "heads_to_keep": 3}},
            ["grid.method movement: nothing says how much it keeps; give grid.weights_to_keep, such as [50%, 25%]"],
        ),
        "nothing but weights": (
            {"grid": {"method": ["dsp", "movement"], "seed": 1, "weights_to_keep": "50%"}},
            ["grid.method dsp: nothing says how much it keeps; give grid.heads_to_keep or another budget"],
        ),
        "weights of units": (
            {"grid": {"method": "dsp", "seed": 1, "heads_to_keep": 3, "weights_to_keep": ["50%", "25%"]}},
            ["grid.weights_to_keep 50%, 25%: no method of the grid counts weights; add movement to grid.method"],
        ),
        "weights in train": ({"train": f"{TRAIN} --weights-to-keep 50%"}, ["train --weights-to-keep: the sweep sets"]),
        "weights afterwards": (
            {"grid": {"method": "movement", "seed": 1, "weights_to_keep": "50%"}, "after": {"x": "--score random"}},
            ["after x: choose units; give grid.heads_to_keep or another budget"],
        ),
        "only distilled": ({"only_distilled": True}, ["only_distilled true: there is no distillation; give it"]),
        "tune by method": (
            {"tune": {"dsp": "--seed 3", "ste": "--lr 1"}},
            [
                "tune.dsp --seed: the sweep sets",
                "tune.ste --lr 1: no cell has this method; those of the sweep are none,",
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
        assert shlex.join(cell.evaluate) == (
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

    def test_budgets_dense_models_and_a_teacher(self, tmp_path):
        grid = {"method": "dsp", "parameters_to_keep": ["50%"], "ffn_to_keep": [64], "seed": 2}
        more = {"dense": {"narrow": "--encoder-embed-dim 32"}, "distillation": "--distillation-weight 0.3"}
        found = {cell.name: cell for cell in cells(tmp_path, grid=grid, method_flags={"dsp": "--ffn-group 16"}, **more)}
        plain = ["narrow-seed2", "dsp-ffn-64-seed2", "dsp-parameters-50pct-seed2"]
        distilled = ["narrow-distilled-seed2", "dsp-distilled-ffn-64-seed2", "dsp-distilled-parameters-50pct-seed2"]
        assert list(found) == ["unpruned-seed2", *plain, *distilled]
        start = found["unpruned-seed2"]
        for name, other in zip(plain, distilled, strict=True):
            alone, taught = shlex.join(found[name].train), shlex.join(found[other].train)
            teaching = f"--teacher {start.checkpoint} --distillation-weight 0.3 "
            assert teaching in taught and taught.replace(teaching, "").replace(other, name) == alone
            assert found[other].sources == [start] and found[name].sources == []
        small, dsp = (shlex.join(found[name].train) for name in (plain[0], plain[2]))
        assert "--encoder-embed-dim 32" in small and "--pruning-method none --seed" in small
        assert "--ffn-group 16" in dsp and "--pruning-method dsp --parameters-to-keep 50% --seed 2" in dsp
        assert "--ffn-group" not in small and "--encoder-embed-dim" not in dsp

    WEIGHTS = {
        "grid": {"method": ["movement", "dsp"], "weights_to_keep": ["50%"], "parameters_to_keep": ["35%"], "seed": 2},
        "variants": {"priced": "--pruning-method movement --weights-to-keep 25% --movement-penalty 5"},
        "from_unpruned": "--lr 1e-3",
    }

    def test_shares_of_weights_from_the_unpruned_model(self, tmp_path):
        """Methods that score weights keep shares of weights, the others budgets; their zeros are filled."""
        found = {cell.name: cell for cell in cells(tmp_path, **self.WEIGHTS, tune={"movement": "--max-epoch 3"})}
        movement, dsp = "movement-weights-50pct-seed2", "dsp-parameters-35pct-seed2"
        assert list(found) == ["unpruned-seed2", movement, dsp, "priced-seed2", f"{movement}-tuned3"]
        start = found["unpruned-seed2"]
        assert all(found[name].start == start for name in (movement, dsp, "priced-seed2"))
        told = shlex.join(found[movement].train)
        assert (
            f"--pruning-method movement --weights-to-keep 50% --seed 2 --finetune-from-model {start.checkpoint}" in told
        )
        assert "--lr 1e-3" in told and "--lr 1e-3" not in shlex.join(start.train)
        assert "--weights-to-keep 25% --movement-penalty 5" in shlex.join(found["priced-seed2"].train)
        filled = found[f"{movement}-tuned3"].before
        assert filled[:2] == ("dsp-fairseq", "prune") and filled[-2:] == ("--fill", "--force")

    def test_only_distilled_models_learn_from_the_unpruned_one_when_tuned_too(self, tmp_path):
        more = {"distillation": "--distillation-weight 0.9", "only_distilled": True, "unpruned": True}
        ways = {"after": {"michel": "--score gradient"}, "tune": {"michel": "--max-epoch 3"}}
        found = {cell.name: cell for cell in cells(tmp_path, **self.WEIGHTS, **more, **ways)}
        assert [name for name, cell in found.items() if not cell.teacher] == [
            "unpruned-seed2", "michel-after-parameters-35pct-seed2",
        ]  # fmt: skip
        tuned = found["michel-after-parameters-35pct-seed2-distilled-tuned3"]
        assert tuned.teacher.name == "unpruned-seed2" and tuned.method == "michel-after-distilled-tuned3"
        assert "--fill" not in tuned.before
        assert "unpruned-continued-distilled-seed2" in found and "movement-distilled-weights-50pct-seed2" in found

    @pytest.mark.parametrize("name", ["sweep", "budgets", "movement"])
    def test_the_files_of_multi30k_are_right(self, tmp_path, name):
        path, data = PROJECT / "examples" / "multi30k" / f"{name}.yaml", tmp_path / "data"
        data.mkdir()
        for language in ("de", "en"):
            (data / f"dict.{language}.txt").write_text("a 1\n")
        found = plan.cells_of(read_config(str(path), str(tmp_path / "out"), str(data)))
        one = [cell for cell in found if cell.seed == 1]
        parsed = check.parsed(one, parsed_choice)
        assert len(found) == 3 * len(one) and len(parsed) > len(one) / 2
        unpruned = [cell.flags["train"] for cell in one if cell.name == "unpruned-seed1"]
        same = plan.cells_of(read_config(str(path.with_name("sweep.yaml")), "out", str(data)))[0].flags["train"]
        assert unpruned == [same]  # so that its folder can be copied

    def test_layers_alone_or_beside_another_budget(self, tmp_path):
        grid = {"method": "dsp", "layers_to_keep": ["encoder=2,decoder=1"], "seed": 2}
        [alone] = cells(tmp_path, grid=grid)
        assert "--pruning-method dsp --layers-to-keep encoder=2,decoder=1 --seed 2" in shlex.join(alone.train)
        flags = {"dsp": "--layers-to-keep encoder=2,decoder=1"}
        [both] = cells(tmp_path, grid={"method": "dsp", "heads_to_keep": 3, "seed": 2}, method_flags=flags)
        told = shlex.join(both.train)
        assert "--layers-to-keep encoder=2,decoder=1" in told and "--heads-to-keep 3" in told

    def test_a_teacher_that_is_not_there_yet_is_no_problem(self, tmp_path):
        for language in ("de", "en"):
            (tmp_path / "data").mkdir(exist_ok=True)
            (tmp_path / "data" / f"dict.{language}.txt").write_text("a 1\n")
        grid = {"method": "dsp", "parameters_to_keep": ["50%"], "seed": 2}
        changes = {
            "grid": grid,
            "distillation": "--distillation-weight 0.3",
            "train": f"{TRAIN} --ffn-group 7",
        }
        with pytest.raises(BadInput) as raised:
            check.parsed(cells(tmp_path, **changes))
        assert {line.partition(":")[0] for line in str(raised.value).splitlines()} == {"train"}
        assert "--teacher" not in str(raised.value) and "--ffn-group 7: must divide" in str(raised.value)
        parsed = check.parsed(cells(tmp_path, grid=grid, distillation="--distillation-weight 0.3"))
        assert parsed["dsp-distilled-parameters-50pct-seed2"].parameters_to_keep == "50%"

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
        Path(cell.printed).write_text("x")
        assert records.read(cell).evaluated  # the checkpoint may be removed afterwards
        Path(cell.checkpoint).write_text("x")
        os.remove(cell.printed)
        assert records.read(cell).trained and not records.read(cell).evaluated
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
        Path(cell.printed).write_text("D-10\t-1\tc\nH-0\t-1\tx\nD-0\t-1\ta\nD-0\t-2\tworse\nD-2\t-1\tb\u2028b\n")
        assert logs.hypotheses(cell) == ["a", "b\u2028b", "c"]


class TestEstimate:
    def record(self, cell, **record):
        os.makedirs(cell.folder)
        records.write(cell, records.Record(**record))

    def test_from_finished_cells(self, tmp_path):
        found = cells(tmp_path)  # 8
        for cell in found[:2]:
            self.record(cell, train_seconds=100.0, generate_seconds=20.0)
            Path(cell.printed).write_text("x")
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


def row(method, heads, seed, bleu, nll=2.5, **shape):
    amount = None if method == "none" else Amount("heads_to_keep", str(heads))
    cell = plan.Cell(f"x/{method}-{heads}-{seed}", method, amount, seed, {}, (), ())
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


@pytest.fixture(autouse=True)
def wide_screen(monkeypatch):
    """Every table in one piece."""
    monkeypatch.setenv("COLUMNS", "200")


def sized(method, amount, seed, bleu, parameters, ffn=None):
    """A row of a sweep whose models differ in more than heads."""
    cell = plan.Cell(f"x/{method}-{amount}-{seed}", method, amount, seed, {}, (), ())
    record = with_heads(records.Record(60.0, 10.0, 2), 36 if amount is None else 10 + seed)
    return Row(cell, record._replace(parameters=parameters, ffn=ffn), bleu, 2.5)


HALF = Amount("parameters_to_keep", "50%")
SIZES = Results(
    [
        sized("none", None, 1, 40.0, 2_000_000),
        sized("narrow", None, 1, 35.0, 1_000_000),
        sized("dsp", HALF, 1, 37.0, 1_000_100, 640),
        sized("dsp", HALF, 2, 38.0, 1_000_200, 600),
        sized("dsp-distilled", HALF, 1, 39.0, 1_000_000, 640),
        sized("dsp", Amount("heads_to_keep", "11"), 1, 36.0, 1_500_000),
    ],
    "BLEU of the test",
)


class TestSizes:
    """Models that differ in hidden units or shape too are compared by their parameters."""

    def test_table(self):
        lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in as_table(SIZES).splitlines()[2:]]
        assert [line[:5] for line in lines] == [
            ["unpruned", "36 of 36", "-", "2,000,000", "1"],
            ["narrow", "36 of 36", "-", "1,000,000", "1"],
            ["dsp", "11 of 36", "-", "1,500,000", "1"],
            ["dsp", "11 to 12 of 36 (50% of parameters)", "600 to 640", "1,000,100 to 1,000,200", "2"],
            ["dsp-distilled", "11 of 36 (50% of parameters)", "640", "1,000,000", "1"],
        ]

    def test_csv(self):
        [*_, distilled, heads] = csv.DictReader(io.StringIO(as_csv(SIZES)))
        assert (distilled["parameters_to_keep"], distilled["heads_to_keep"], distilled["ffn"]) == ("50%", "", "640")
        assert (heads["parameters_to_keep"], heads["heads_to_keep"], heads["parameters"]) == ("", "11", "1500000")

    @pytest.mark.skipif(not importlib.util.find_spec("matplotlib"), reason="matplotlib is not installed")
    def test_pictures(self):
        from dsp_fairseq.sweep import curves, survival

        [panel] = curves.draw_scores(SIZES).axes
        assert panel.get_xlabel() == "parameters of the model, embeddings included"
        lines = {line.get_label(): line.get_xydata().tolist() for line in panel.get_lines()}
        assert lines["dsp"] == [[1_500_000, 36.0], [1_000_150, 37.5]]
        assert lines["narrow"] == [[1_000_000, 35.0]] and lines["dsp-distilled"] == [[1_000_000, 39.0]]
        titles = [text.get_text() for text in survival.draw(SIZES).texts]
        assert "dsp" in titles and "dsp-distilled" in titles and "narrow" not in titles


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
        Path(cell.printed).write_text("nothing\n")
        records.write(cell, with_heads(records.Record(1.0, 2.0, 1), 12))
        results, problems = collect([cell], config)
        assert results.rows == [] and "dsp-12-seed1: fairseq-generate printed no BLEU4" in problems[0]


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="matplotlib is an extra")
class TestPictures:
    def test_curve_has_means_bands_and_the_unpruned_line(self):
        from dsp_fairseq.sweep import curves

        [panel] = curves.draw_scores(RESULTS).axes
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
        [panel] = curves.draw_scores(RESULTS._replace(rows=rows)).axes
        assert panel.get_xscale() == "log" and list(panel.get_xticks()) == [24, 12, 2]
        [panel] = curves.draw_scores(RESULTS._replace(rows=[*rows, row("dsp", 0, 1, 1.0)])).axes
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

        for draw in (curves.draw_scores, survival.draw):
            draw(RESULTS._replace(rows=rows)).draw_without_rendering()
