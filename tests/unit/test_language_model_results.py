"""The table and picture of pruned language models say what the results of their sweeps say."""

from pathlib import Path

import pandas
import pytest
from scripts_in_process import run_script

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "language_modeling" / "perplexity.py"
HEADER = "cell,method,heads_to_keep,seed,heads,ffn,parameters,prunable,perplexity,valid_nll,train_seconds\n"
ALL_ATTENTION = """unpruned-seed1,none,,1,48,,1424384,,100.0,6.9,1
unpruned-continued-seed1,unpruned-continued,,1,48,,1424384,,90.0,6.8,1
layers3-seed1,layers3,,1,24,,980096,,99.0,6.85,1
layerwise-l0-24-seed1,layerwise-l0,24,1,24,,981248,,95.5,6.81,1
dsp-24-seed1,dsp,24,1,24,,981248,,94.0,6.8,1
dsp-24-seed2,dsp,24,2,24,,981248,,96.0,6.82,1
dsp-36-seed1,dsp,36,1,36,,1202816,,92.0,6.7,1
priced-seed1,priced,,1,30,,1092032,,93.0,6.7,1
priced-seed2,priced,,2,36,,1202816,,91.0,6.7,1
"""
TRANSFORMER = "dsp-parameters-457216-seed1,dsp,,1,20,900,981000,457000,101.5,6.9,1\n"


def write(out, all_attention=ALL_ATTENTION, transformer=TRANSFORMER):
    for folder, lines in (("tolstoy", all_attention), ("tolstoy-transformer", transformer)):
        (out / folder).mkdir(parents=True)
        (out / folder / "results.csv").write_text(HEADER + lines)
    return run_script(SCRIPT, "--out", out, "--results", out / "results")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("perplexity")
    done = write(out)
    assert done.returncode == 0, done.stderr
    return out / "results"


def rows_of(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:2] == "| "]


def test_the_tables_have_a_row_for_each_size_and_variant(made):
    models, variants = (made / "perplexity.md").read_text().split("`layerwise-l0` without its training methods")
    assert [row[:6] for row in rows_of(models)[1:]] == [
        ["`all_attention_lm`", "all heads", "48", "none", "1,424,384", "100.00"],
        ["`all_attention_lm`", "all heads, trained on as long as the pruned ones", "48", "none", "1,424,384", "90.00"],
        ["`all_attention_lm`", "`layerwise-l0`", "24", "none", "981,248", "95.50"],
        ["`all_attention_lm`", "`dsp`", "36", "none", "1,202,816", "92.00"],
        ["`all_attention_lm`", "`dsp`", "24", "none", "981,248", "95.00 (94.00 to 96.00)"],
        ["`all_attention_lm`", "small dense model `layers3`", "24", "none", "980,096", "99.00"],
        ["`transformer_lm`", "`dsp`", "20", "900", "981,000", "101.50"],
    ]
    assert rows_of(models)[5][7] == "2"
    assert rows_of(variants)[1][:4] == ["`priced`", "30 to 36", "1,092,032 to 1,202,816", "92.00 (91.00 to 93.00)"]
    assert (made / "perplexity.png").read_bytes().startswith(b"\x89PNG")


def test_runs_of_earlier_sweeps_stay(made, tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "perplexity.csv").write_text((made / "perplexity.csv").read_text())
    done = write(tmp_path, "unpruned-seed1,none,,1,48,,1424384,,80.0,6.5,1\n", "")
    assert done.returncode == 0, done.stderr
    before, after = (
        pandas.read_csv(folder / "perplexity.csv", dtype=str).set_index(["model", "cell"])
        for folder in (made, tmp_path / "results")
    )
    assert len(after) == len(before) == 10 and after.loc[("all_attention_lm", "unpruned-seed1"), "perplexity"] == "80.0"


def test_without_a_sweep_there_is_one_line(tmp_path):
    done = run_script(SCRIPT, "--out", tmp_path, "--results", tmp_path / "results")
    assert done.returncode == 2 and "has no tolstoy/results.csv or tolstoy-transformer/results.csv" in done.stderr
