"""The table of movement pruning says what the results of its sweep say."""

import json
import runpy
from pathlib import Path

import pandas
import pytest
import yaml
from scripts_in_process import run_script

from dsp_fairseq.sweep import plan
from dsp_fairseq.sweep.config import read_config

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "multi30k" / "movement.py"
HEADER = (
    "cell,method,heads_to_keep,weights_to_keep,parameters_to_keep,seed,heads,ffn,parameters,prunable,bleu,valid_nll\n"
)
LINES = """unpruned-seed1,none,,,,1,36,,2237952,,38.00,2.600
movement-distilled-weights-35pct-seed1,movement-distilled,,35%,,1,30,700,1900000,650000,37.00,2.500
movement-distilled-weights-35pct-seed2,movement-distilled,,35%,,2,32,800,1950000,700000,38.00,2.600
dsp-distilled-parameters-650000-seed1,dsp-distilled,,,650000,1,24,640,1890000,649000,39.00,2.400
michel-after-parameters-50pct-seed1,michel-after,,,50%,1,20,640,1740000,500000,30.00,3.400
michel-after-parameters-50pct-seed1-distilled-tuned9,michel-after-distilled-tuned9,,,50%,1,20,640,1740000,500000,38.50,2.450
"""


def collect(out, lines=LINES, *options):
    (out / "movement").mkdir(parents=True)
    if lines is not None:
        (out / "movement" / "results.csv").write_text(HEADER + lines)
    return run_script(SCRIPT, "--out", out, "--results", out / "results", *options)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("movement")
    rows = [
        {"checkpoint": f"x/{name}/checkpoint_last.pt", "variant": variant, "sentences_per_second": {"median": rate}}
        for name, variant, rate in (
            ("unpruned-seed1", "stock", 100),
            ("unpruned-seed1", "removed", 110),
            ("dsp-distilled-parameters-650000-seed1", "removed", 175),
            ("michel-after-parameters-50pct-seed1-distilled-tuned9", "removed", 125),
        )
    ]
    (out / "speed.json").write_text(json.dumps({"results": rows}))
    done = collect(out, LINES, "--speed", out / "speed.json")
    assert done.returncode == 0, done.stderr
    return out / "results"


def test_the_table_has_a_row_for_each_size_of_each_method(made):
    text = (made / "movement.md").read_text()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:2] == "| "]
    assert rows[1:] == [
        ["unpruned", "", "36", "all", "all", "2,237,952", "2.600", "38.00", "1.10", "1"],
        ["movement", "35% of the weights", "30 to 32", "700 to 800", "650,000 to 700,000", "1,900,000 to 1,950,000",
         "2.550 (2.500 to 2.600)", "37.50 (37.00 to 38.00)", "", "2"],
        ["dsp", "650000", "24", "640", "649,000", "1,890,000", "2.400", "39.00", "1.75", "1"],
        ["gradient importance, then trained on", "50%", "20", "640", "500,000", "1,740,000",
         "2.450", "38.50", "1.25", "1"],
        ["gradient importance, not trained on", "50%", "20", "640", "500,000", "1,740,000", "3.400", "30.00", "", "1"],
    ]  # fmt: skip


def test_runs_of_earlier_sweeps_and_their_times_stay(made, tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "movement.csv").write_text((made / "movement.csv").read_text())
    done = collect(tmp_path, "unpruned-seed1,none,,,,1,36,,2237952,,39.00,2.500\n")
    assert done.returncode == 0, done.stderr
    after = pandas.read_csv(tmp_path / "results" / "movement.csv", dtype=str).set_index("cell")
    assert len(after) == 6 and list(after.loc["unpruned-seed1", ["bleu", "times_stock"]]) == ["39.00", "1.10"]


def test_without_a_sweep_there_is_one_line(tmp_path):
    done = collect(tmp_path, None)
    assert done.returncode == 2 and "movement/results.csv is missing" in done.stderr and "\n" not in done.stderr.strip()


def test_the_methods_are_those_of_the_sweep(tmp_path, monkeypatch):
    path = SCRIPT.parent / "movement.yaml"
    monkeypatch.chdir(tmp_path)
    Path(yaml.safe_load(path.read_text())["data"]).mkdir(parents=True)
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    words = runpy.run_path(str(SCRIPT))["WORDS"]
    assert {cell.method for cell in plan.cells_of(read_config(str(path)))} == set(words)
