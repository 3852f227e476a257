"""Sweeps of language models: what their file may say, their commands, perplexity in the results; the novel's files."""

import csv
import io
import shlex
from pathlib import Path

import pytest
import yaml
from sweep_cases import cells, with_heads, write_config

from dsp_fairseq.errors import BadInput
from dsp_fairseq.families import family_named, inventory_of
from dsp_fairseq.sweep import check, estimate, logs, plan, records
from dsp_fairseq.sweep.amounts import Amount
from dsp_fairseq.sweep.config import read_config
from dsp_fairseq.sweep.evaluation import DECODING, EVALUATIONS
from dsp_fairseq.sweep.plan import Files
from dsp_fairseq.sweep.results import Results, Row, as_csv, collect
from dsp_fairseq.sweep.table import as_markdown, as_table

PROJECT = Path(__file__).resolve().parents[2]
EXAMPLES = PROJECT / "examples" / "language_modeling"
PERPLEXITY = EVALUATIONS["fairseq-eval-lm"]
TRAIN = "--arch all_attention_lm_tiny --optimizer adam --max-tokens 640 --tokens-per-sample 64 --max-update 30 --cpu"
GRID = {"method": ["dsp"], "heads_to_keep": [4, 2], "seed": [1, 2]}
SAID = {"train": TRAIN, "generate": None, "evaluate": "--tokens-per-sample 64", "grid": GRID}


def of(tmp_path, **changes):
    """The cells of a sweep of language models, by name."""
    return {cell.name: cell for cell in cells(tmp_path, **{**SAID, **changes})}


def evaluated(cell, printed, **logged):
    """Pretend that a cell has been trained and evaluated."""
    Path(cell.folder).mkdir(parents=True)
    Path(cell.printed).write_text(printed)
    Path(cell.train_log).write_text("".join(f'{{"{name}": "{value}"}}\n' for name, value in logged.items()))
    records.write(cell, with_heads(records.Record(1.0, 2.0, 1), 8))


class TestConfig:
    CASES = {
        "flags of the other command": (
            {"generate": "--beam 5"},
            ["generate --beam 5: an all_attention_lm is evaluated by fairseq-eval-lm; give its flags as evaluate"],
        ),
        "the same, of a translation": (
            {"train": "--arch gated_transformer_tiny", "grid": {**GRID, "heads_to_keep": 4}},
            ["evaluate --tokens-per-sample 64: a gated_transformer is evaluated by fairseq-generate; give its"],
        ),
        "own flags": (
            {"evaluate": "--path x --results-path y"},
            ["evaluate --path: the", "evaluate --results-path: the"],
        ),
        "a reference": ({"score": {"sacrebleu": "x"}}, ["score.sacrebleu x: an all_attention_lm does not translate"]),
        "kinds": (
            {"grid": {**GRID, "heads_to_keep": ["encoder.self=1,decoder.self=1,decoder.cross=1"]}},
            ["must be a number of heads, or one for each kind of block: decoder.self=4"],
        ),
        "no hidden units, no layers": (
            {"grid": {**GRID, "ffn_to_keep": 8, "layers_to_keep": "decoder=1"}},
            [
                "grid.ffn_to_keep 8: an all_attention_lm has no hidden units to choose from",
                "grid.layers_to_keep decoder=1: an all_attention_lm keeps all its layers",
            ],
        ),
        "variants": (
            {
                "dense": {"small": "--decoder-layers 1"},
                "variants": {
                    "small": "--pruning-method dsp",
                    "x": "--lr 1",
                    "y": "--pruning-method none",
                    "z": "--pruning-method dsp --seed 1",
                },
            },
            [
                "variants.small --pruning-method dsp: is the name of other models",
                "variants.x --lr 1: must have --pruning-method with one of",
                "variants.y --pruning-method none: must have",
                "variants.z --seed: the sweep sets",
            ],
        ),
        "from unpruned": (
            {"from_unpruned": "--heads-to-keep 3 --finetune-from-model x"},
            ["from_unpruned --heads-to-keep: the sweep sets", "from_unpruned --finetune-from-model: the sweep sets"],
        ),
    }

    @pytest.mark.parametrize("changes, words", CASES.values(), ids=CASES.keys())
    def test_problems_are_told_at_once_a_line_each(self, tmp_path, changes, words):
        with pytest.raises(BadInput) as raised:
            read_config(write_config(tmp_path, **{**SAID, **changes}))
        lines = str(raised.value).splitlines()
        assert len(lines) == len(words)
        assert all(any(word in line for line in lines) for word in words), lines

    def test_a_family_that_no_command_evaluates(self, tmp_path, monkeypatch):
        monkeypatch.setattr(type(family_named("all_attention_lm")), "evaluated_by", "")
        with pytest.raises(
            BadInput, match="an all_attention_lm is evaluated by none of fairseq-generate, fairseq-eval"
        ):
            read_config(write_config(tmp_path, **SAID))

    def test_every_family_says_how_it_is_evaluated(self):
        commands = {name: family_named(name).evaluated_by for name in ("gated_transformer", "gated_transformer_lm")}
        assert commands == {"gated_transformer": "fairseq-generate", "gated_transformer_lm": "fairseq-eval-lm"}


def test_the_example_of_the_page_is_right(tmp_path):
    page = (PROJECT / "docs" / "language-models.md").read_text()
    example = page.partition("## Sweeps")[2].split("```")[1]
    data = tmp_path / "data-bin"
    data.mkdir()
    (data / "dict.txt").write_text("a 1\n")
    (tmp_path / "sweep.yaml").write_text(example.replace("data: data-bin", f"data: {data}"))
    found = plan.cells_of(read_config(str(tmp_path / "sweep.yaml"), str(tmp_path / "out")))
    assert len(found) == 30 and len(check.parsed(found)) == 30


class TestPlan:
    def test_commands(self, tmp_path):
        cell = of(tmp_path)["dsp-2-seed1"]
        assert "--task language_modeling_pruning --criterion dsp_cross_entropy --no-epoch" in shlex.join(cell.train)
        assert shlex.join(cell.evaluate) == (
            f"fairseq-eval-lm {tmp_path}/data --user-dir {PROJECT}/dsp_fairseq --tokens-per-sample 64 "
            f"--path {cell.checkpoint}"
        )
        assert cell.flags["evaluate"] == ["--tokens-per-sample", "64"] and "generate" not in cell.flags
        assert (cell.printed, cell.evaluation_log) == (cell.file("evaluate.txt"), cell.file("evaluate.log"))
        given = of(tmp_path, train=f"{TRAIN} --criterion dsp_adaptive_loss")["dsp-2-seed1"].train
        assert given.count("--criterion") == 1

    def test_pruned_from_the_unpruned_model(self, tmp_path):
        variants = {"priced": "--pruning-method layerwise-l0 --l0-penalty 0.02"}
        more = {"unpruned": True, "variants": variants, "dense": {"small": "--decoder-layers 1"}}
        scratch = of(tmp_path, **more)
        found = of(tmp_path, from_unpruned="--lr 1e-3 --max-update 20", **more)
        assert [name for name in found if "continued" not in name] == list(scratch)
        assert set(found) - set(scratch) == {"unpruned-continued-seed1", "unpruned-continued-seed2"}
        base = found["unpruned-seed2"]
        for name in ("unpruned-continued-seed2", "dsp-4-seed2", "priced-seed2"):
            words = shlex.join(found[name].train)
            assert found[name].start == base and f"--finetune-from-model {base.checkpoint} " in words
            assert words.index("--max-update 30") < words.index("--lr 1e-3 --max-update 20")
            assert found[name].flags["start"]["name"] == "unpruned-seed2"
        for cell in (*scratch.values(), base, found["small-seed2"]):
            assert cell.start is None and "--finetune-from-model" not in cell.train and "1e-3" not in cell.train
        priced = shlex.join(found["priced-seed2"].train)
        assert priced.count("--pruning-method") == 1 and "--l0-penalty 0.02" in priced and "to-keep" not in priced
        assert "--pruning-method none --seed 2" in shlex.join(found["unpruned-continued-seed2"].train)

    def test_the_unpruned_model_is_made_but_not_continued_unless_it_is_wanted(self, tmp_path):
        names = list(of(tmp_path, from_unpruned=True))
        assert names[:2] == ["unpruned-seed1", "unpruned-seed2"] and len(names) == 6

    def test_a_start_that_went_is_told(self, tmp_path):
        made = of(tmp_path, from_unpruned=True)["dsp-4-seed1"]
        evaluated(made, "")
        now = of(tmp_path)["dsp-4-seed1"]
        assert "was made with other flags (start: " in records.problems([now])[0]

    def test_a_score_that_draws_nothing_gets_no_seed(self, tmp_path):
        after = {"magnitude": "--score magnitude", "random": "--score random"}
        found = of(tmp_path, after=after)
        assert "--seed" not in found["magnitude-after-4-seed1"].train
        assert "--seed" in found["random-after-4-seed1"].train

    def test_what_fairseq_would_refuse_is_told(self, tmp_path):
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "dict.txt").write_text("a 1\n")
        right = list(of(tmp_path).values())
        parsed = check.parsed(right)
        assert parsed["dsp-4-seed1"].heads_to_keep == "4"
        seconds, basis = estimate.estimate(right, parsed, 1)
        assert seconds > 0 and basis.endswith("; evaluation comes on top")
        dense = {"other": "--arch gated_transformer_tiny", "like": "--arch gated_transformer_lm_tiny"}
        grid = {**GRID, "seed": [1], "heads_to_keep": [9]}
        with pytest.raises(BadInput) as raised:
            check.parsed(list(of(tmp_path, dense=dense, grid=grid, evaluate="--fast").values()))
        told = str(raised.value)
        assert "train: --heads-to-keep 9: must be 0 to 8" in told and "evaluate: unrecognized arguments: --fast" in told
        assert "a gated_transformer is not evaluated by fairseq-eval-lm, as the other models are" in told
        assert len(told.splitlines()) == 3, told


class TestResults:
    def test_perplexity_is_read_from_the_loss(self, tmp_path):
        config = read_config(write_config(tmp_path, **SAID))
        good, bad = plan.cells_of(config)[:2]
        evaluated(good, "x | Loss (base 2): 3.1234, Perplexity: 8.71\n", valid_loss=3.5)
        evaluated(bad, "nothing\n")
        results, problems = collect([good, bad], config)
        assert [row.score for row in results.rows] == [pytest.approx(2**3.1234)]
        assert [row.valid_nll for row in results.rows] == [3.5] and results.evaluation is PERPLEXITY
        told = f"fairseq-eval-lm printed no loss; all that it printed: {bad.printed}; remove it to evaluate again"
        assert problems == [f"{bad.name}: {told}"]

    def test_the_loss_counts_as_nll_only_where_it_is_one(self, tmp_path):
        files = Files(str(tmp_path), evaluation=PERPLEXITY)
        Path(files.train_log).write_text('{"valid_loss": "9.0", "valid_nll_loss": "3.0"}\n')
        assert logs.valid_nll(files) == 3.0
        Path(files.train_log).write_text('{"valid_loss": "9.0"}\n')
        assert logs.valid_nll(files) == 9.0 and logs.valid_nll(Files(str(tmp_path), evaluation=DECODING)) is None

    @pytest.fixture
    def results(self):
        def row(method, heads, parameters, score):
            amount = None if method == "none" else Amount("heads_to_keep", str(heads))
            cell = plan.Cell(f"x/{method}-{heads}", method, amount, 1, {}, (), (), evaluation=PERPLEXITY)
            blocks = {f"decoder.self.{layer}": 4 for layer in range(2)}
            kept = {name: list(range(heads // 2)) for name in blocks}
            return Row(cell, records.Record(9.0, 3.0, 1, kept, blocks, None, parameters), score, 3.0)

        return Results([row("none", 8, 900, 80.0), row("dsp", 4, 700, 90.0)], "of the test", PERPLEXITY)

    def test_table_and_csv(self, results, tmp_path, monkeypatch):
        monkeypatch.setenv("COLUMNS", "200")
        assert "perplexity" in as_table(results).splitlines()[0] and "BLEU" not in as_table(results)
        lines = list(csv.DictReader(io.StringIO(as_csv(results))))
        assert [line["perplexity"] for line in lines] == ["80.00", "90.00"] and lines[1]["decoder_self"] == "4"
        assert lines[0]["evaluate_seconds"] == "3.0" and not {"bleu", "encoder_self", "generate_seconds"} & set(
            lines[0]
        )
        config = read_config(
            write_config(tmp_path, **SAID, from_unpruned="--lr 1", variants={"x": "--pruning-method l0"})
        )
        text = as_markdown(results, config, [])
        assert text.startswith("# Perplexity and validation nll against attention heads\n")
        lines = ["perplexity: of the test", "fairseq-eval-lm: `--tokens-per-sample 64`", "fairseq-train, x: `--pr"]
        lines += ["fairseq-train, from the unpruned model: `--lr 1`"]
        assert all(f"\n- {line}" in text for line in lines)
        assert "bench" not in text

    def test_pictures(self, results):
        pytest.importorskip("matplotlib")
        from dsp_fairseq.sweep import curves, survival

        [panel] = curves.draw_scores(results).axes
        assert panel.get_ylabel() == "perplexity (lower is better)" and "BLEU" not in panel.figure.get_suptitle()
        survival.draw(results).draw_without_rendering()


WORDS = 4056  # of War and Peace after 4000 merges, four of them fairseq's
OF_WORDS = 128 * WORDS


class TestNovel:
    """The files of examples/language_modeling."""

    @pytest.fixture
    def parsed(self, tmp_path, monkeypatch):
        def read(name):
            content = yaml.safe_load((EXAMPLES / name).read_text())
            monkeypatch.chdir(tmp_path)
            Path(content["data"]).mkdir(parents=True, exist_ok=True)
            Path(content["data"], "dict.txt").write_text("".join(f"w{i} 1\n" for i in range(WORDS - 4)))
            config = read_config(str(EXAMPLES / name))
            return config, check.parsed([cell for cell in plan.cells_of(config) if cell.seed == 1])

        return read

    @staticmethod
    def parameters(args):
        from argparse import Namespace

        from fairseq.data import Dictionary

        words = Dictionary.load(str(Path(args.data) / "dict.txt"))
        task = Namespace(source_dictionary=words, target_dictionary=words)
        model = family_named(args.arch.removesuffix("_small")).model_class(True).build_model(args, task)
        return sum(parameter.numel() for parameter in model.parameters())

    def test_models_of_the_same_size(self, parsed):
        config, args = parsed("tolstoy.yaml")
        full = args["unpruned-seed1"]
        costs = {block.cost for block in inventory_of(full).blocks}
        assert costs == {18_464} and self.parameters(full) == 48 * 18_464 + 538_112 == 1_424_384
        sizes = {heads: heads * 18_464 + 538_112 for heads in map(int, config.grid.heads_to_keep)}
        for name, heads in {"layers3": 24, "d96": 24, "layers2": 12, "d96-layers4": 12}.items():
            assert self.parameters(args[f"{name}-seed1"]) == pytest.approx(sizes[heads], rel=2e-3)
        config, args = parsed("tolstoy-transformer.yaml")
        full = args["unpruned-seed1"]
        blocks = inventory_of(args["dsp-parameters-678784-seed1"]).blocks
        prunable = sum(block.units * block.cost for block in blocks)
        assert prunable == 901_296 and self.parameters(full) == prunable + 524_032
        budgets = [int(amount.value) + 524_032 for amount in config.amounts]
        assert budgets == list(sizes.values())
        for name, size in {"layers3": budgets[1], "layers2": budgets[2]}.items():
            assert self.parameters(args[f"{name}-seed1"]) == pytest.approx(size, rel=2e-3)

    def test_how_many_models(self, parsed):
        for name in ("tolstoy", "tolstoy-transformer"):
            config, _ = parsed(f"{name}.yaml")
            said = f"the file has {len(plan.cells_of(config))} models"
            assert said in (EXAMPLES / f"{name}.yaml").read_text()
