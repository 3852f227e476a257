"""The table and picture of models of the same size say what the runs' files say."""

import json
from pathlib import Path

import pandas
import pytest
from scripts_in_process import run_script

from dsp_fairseq.sweep import plan, records

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "multi30k" / "sizes.py"
RUNS = {  # valid nll, BLEU, parameters, hidden units
    "unpruned-seed1": (2.6, 38.0, 2_237_952, None),
    "unpruned-seed2": (2.5, 39.0, 2_237_952, None),
    "layers2-2-f98-seed1": (2.7, 37.0, 1_744_264, None),
    "dsp-parameters-50pct-seed1": (2.62, 37.5, 1_743_000, 560),
    "dsp-parameters-50pct-seed2": (2.58, 38.5, 1_743_900, 500),
    "dsp-distilled-parameters-25pct-seed1": (2.55, 39.5, 1_496_000, 160),
    "dsp-12-seed1": (2.7, 36.0, 1_800_000, None),  # of another sweep
}
OF_SCORES = "run,valid_nll,bleu\ndsp-6-seed1,2.65,36.5\ndsp-12-seed1,2.6,37\n"


def make_run(out, name, nll, bleu, parameters, ffn):
    cell = plan.Cell(str(out / "runs" / name), "dsp", None, 1, {}, (), ())
    Path(cell.folder).mkdir(parents=True)
    record = records.Record(1.0, 1.0, 1, {"encoder.self.0": [0, 2]}, {"encoder.self.0": 4}, ffn, parameters)
    records.write(cell, record)
    Path(cell.train_log).write_text(f'x | INFO | valid | {{"valid_nll_loss": "{nll}"}}\n')
    Path(cell.printed).write_text(f"Generate test with beam=5: BLEU4 = {bleu}, 70.0/50.0/30.0/20.0\n")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("sizes")
    for name, figures in RUNS.items():
        make_run(out, name, *figures)
    rows = [
        {"checkpoint": f"x/{name}/checkpoint_last.pt", "variant": variant,
         "sentences_per_second": {"median": rate, "times_as_fast": {"median": 9.0}}}
        for name, variant, rate in (("unpruned-seed1", "stock", 100), ("unpruned-seed1", "removed", 125),
                                    ("dsp-parameters-50pct-seed1", "stock", 130),
                                    ("dsp-parameters-50pct-seed1", "removed", 175), ("dsp-6-seed1", "removed", 160))
    ]  # fmt: skip
    (out / "speed.json").write_text(json.dumps({"results": rows}))
    results = out / "results"
    results.mkdir()
    (results / "scores.csv").write_text(OF_SCORES)
    done = run_script(SCRIPT, "--out", out, "--results", results, "--speed", out / "speed.json")
    assert done.returncode == 0, done.stderr
    return out, results


def test_the_table_has_a_row_for_each_size(made):
    text = (made[1] / "sizes.md").read_text()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:2] == "| "]
    assert [(row[0], row[1], row[2], row[5]) for row in rows[1:]] == [
        ("unpruned", "", "2,237,952", "1.25"),
        ("dsp, heads and hidden units, 50%", "", "1,743,000 to 1,743,900", "1.75"),
        ("dsp, heads only", "", "1,743,552", "1.60"),
        ("small dense model `layers2-2-f98`", "", "1,744,264", ""),
        ("dsp, heads and hidden units, 25%", "unpruned", "1,496,000", ""),
    ]
    by_name = {row[0]: row for row in rows}
    assert by_name["dsp, heads and hidden units, 50%"][3].startswith("2.600 (2.580 to 2.620")
    assert by_name["dsp, heads only"][3:5] == ["2.650", "36.50"]
    assert (made[1] / "sizes.png").read_bytes().startswith(b"\x89PNG")


def test_scores_outlive_their_runs(made, tmp_path):
    before = pandas.read_csv(made[1] / "sizes.csv", dtype=str)
    assert set(before.run) == set(RUNS) - {"dsp-12-seed1"} | {"dsp-6-seed1"}
    make_run(tmp_path, "unpruned-seed1", 2.4, 41.0, 2_237_952, None)
    (tmp_path / "results").mkdir()
    for name in ("sizes.csv", "scores.csv"):
        (tmp_path / "results" / name).write_text((made[1] / name).read_text())
    done = run_script(SCRIPT, "--out", tmp_path, "--results", tmp_path / "results")
    assert done.returncode == 0, done.stderr
    after = pandas.read_csv(tmp_path / "results" / "sizes.csv", dtype=str).set_index("run")
    assert after.loc["unpruned-seed1", "bleu"] == "41.0" and len(after) == len(before)
    assert after.times_stock.dropna().to_dict() == {
        "unpruned-seed1": "1.25",
        "dsp-parameters-50pct-seed1": "1.75",
        "dsp-6-seed1": "1.60",
    }


def test_without_runs_it_says_so(tmp_path):
    done = run_script(SCRIPT, "--out", tmp_path, "--results", tmp_path)
    assert done.returncode == 2 and "no finished run of budgets.yaml" in done.stderr


def test_speed_needs_the_unpruned_model_of_the_seed(made, tmp_path):
    row = {"checkpoint": "x/dsp-parameters-50pct-seed3/checkpoint_last.pt", "variant": "removed"}
    told = {"results": [{**row, "sentences_per_second": {"median": 9.0}}]}
    (tmp_path / "speed.json").write_text(json.dumps(told))
    done = run_script(SCRIPT, "--out", made[0], "--results", tmp_path, "--speed", tmp_path / "speed.json")
    assert done.returncode == 2 and "not the stock variant of unpruned-seed3; time both" in done.stderr
