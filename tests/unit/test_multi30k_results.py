"""The table and picture of the Multi30k runs say what the runs' files say."""

import importlib
import re
import sys
from pathlib import Path

import pandas
import pytest
from scripts_in_process import run_script
from tiny_checkpoints import masked_checkpoint

from dsp_fairseq.checkpoints import reading as checkpoint
from dsp_fairseq.sweep import plan, records

PROJECT = Path(__file__).resolve().parents[2]
SCRIPT = PROJECT / "examples" / "multi30k" / "results.py"
PUBLISHED = SCRIPT.with_name("results")
UNPRUNED = ("all 36 heads", "all 36 heads, tuned 3 epochs")


def make_run(out, name, nll, bleu):
    """A run as the sweep leaves it, with 2 + 9 + 6 heads."""
    cell = plan.Cell(str(out / "runs" / name), "dsp", "17", 1, {}, (), ())
    Path(cell.folder).mkdir(parents=True)
    checkpoint.save(masked_checkpoint(), cell.checkpoint, cell.checkpoint)
    kept = {"encoder.self.0": [0, 1], "decoder.self.0": list(range(9)), "decoder.cross.1": list(range(6))}
    records.write(cell, records.Record(1.0, 1.0, 1, kept, dict.fromkeys(kept, 12)))
    Path(cell.train_log).write_text(
        f'x | INFO | valid | {{"epoch": null, "valid_loss": "4.1", "valid_nll_loss": "{nll}"}}\n'
    )
    Path(cell.printed).write_text(f"Generate test with beam=5: BLEU4 = {bleu}, 70.0/50.0/30.0/20.0\n")


def module(name):
    sys.path.insert(0, str(SCRIPT.parent))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(SCRIPT.parent))


script = module("results")
summary = module("summary")


def results(out, folder):
    done = run_script(SCRIPT, "--out", out, "--results", folder)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("multi30k")
    runs = {
        "all-seed1": (2.6, 38.0),
        "all-seed1-tuned3": (2.5, 39.5),
        "dsp-12-seed1": (2.61, 37.5),
        "dsp-12-seed2": (2.57, 39.0),
        "dsp-6-seed1": (2.7, 36.0),
        "michel-after-12-seed1": (2.9, 33.0),
        "michel-after-12-seed1-tuned3": (2.65, 37.25),
        "dsp-12-slow": (9.0, 1.0),  # a name of its own: not in the table
    }
    for name, (nll, bleu) in runs.items():
        make_run(out, name, nll, bleu)
    (out / "runs" / "uniform-12-seed1").mkdir()  # not finished
    results(out, out / "results")
    return out


def test_scores_are_those_of_the_runs(made):
    lines = (made / "results" / "scores.csv").read_text().splitlines()
    assert lines[0] == "run,valid_nll,bleu,encoder_self,decoder_self,decoder_cross"
    assert lines[1:4] == ["all-seed1,2.6,38.0,2,9,6", "dsp-12-seed1,2.61,37.5,2,9,6", "dsp-12-seed2,2.57,39.0,2,9,6"]
    assert len(lines) == 8


def test_table_has_mean_and_range_of_the_seeds(made):
    text = (made / "results" / "results.md").read_text()
    assert "| dsp | 38.25 (37.50 to 39.00, 2 seeds) | 36.00 |" in text
    assert "| dsp | 2.590 (2.570 to 2.610, 2 seeds) | 2.700 |" in text
    assert "| gradient importance, at once | 33.00 |  |" in text
    assert "| gradient importance, at once, tuned 3 epochs | 37.25 |  |" in text
    assert "all 36 heads: 38.00" in text and "all 36 heads, tuned 3 epochs: 39.50" in text
    assert "slow" not in text and "uniform" not in text


def test_picture_shows_every_run_beside_those_of_its_kind(made):
    trained, chosen = script.draw(runs_in(made / "results" / "scores.csv")).axes
    shown = [dict(zip(*reversed(panel.get_legend_handles_labels()), strict=True)) for panel in (trained, chosen)]
    assert set(shown[0]) == {*UNPRUNED, "dsp", "gradient importance, at once, tuned 3 epochs"}
    assert set(shown[1]) == {*UNPRUNED, "gradient importance, at once"}
    line = shown[0]["dsp"].lines[0]  # from 6 heads to 12: the mean of the two seeds
    assert list(line.get_ydata()) == [36.0, 38.25]


def test_no_two_rows_of_a_legend_look_alike_not_even_in_grey():
    for panel in script.draw(runs_in(PUBLISHED / "scores.csv")).axes:
        bars = list(panel.containers)
        shapes = [(bar.lines[0].get_marker(), bar.lines[0].get_markerfacecolor() == "white") for bar in bars]
        assert len(set(shapes)) == len(bars) == len({bar.get_label() for bar in bars}) > 3


def test_picture_is_a_png(made):
    assert (made / "results" / "bleu.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_scores_stay_when_their_runs_are_gone_and_new_ones_replace_them(made, tmp_path):
    make_run(tmp_path, "dsp-12-seed2", 2.5, 40.0)
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "scores.csv").write_bytes((made / "results" / "scores.csv").read_bytes())
    results(tmp_path, folder)
    text = (folder / "scores.csv").read_text()
    assert "dsp-12-seed1,2.61,37.5" in text and "dsp-12-seed2,2.5,40.0" in text and "39.0" not in text


def test_the_published_table_is_made_from_the_published_scores(tmp_path):
    (tmp_path / "scores.csv").write_bytes((PUBLISHED / "scores.csv").read_bytes())
    results(tmp_path, tmp_path)
    for name in ("scores.csv", "results.md"):
        assert (tmp_path / name).read_bytes() == (PUBLISHED / name).read_bytes()


def test_nothing_to_show_is_one_line(tmp_path):
    done = run_script(SCRIPT, "--out", tmp_path, "--results", tmp_path / "results")
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and "no finished run" in done.stderr


def test_minutes_are_the_runs_own_over_all_restarts(tmp_path):
    make_run(tmp_path, "dsp-after-12-seed1", 2.9, 33.0)
    folder = tmp_path / "runs" / "dsp-after-12-seed1"
    assert summary.row(folder) == ["dsp-after-12-seed1", "-", "2.9", "33.0", "2 / 9 / 6", "-", "-"]  # not trained
    lines = []
    for epoch, wall in enumerate([60, 120, 180, 90, 150], 1):  # a second process from epoch 4 on
        lines.append(f'{{"epoch": {epoch}, "valid_nll_loss": "2.9", "valid_num_updates": "{epoch}"}}')
        lines.append(f'{{"epoch": {epoch}, "train_nll_loss": "3", "train_wps": "100", "train_wall": "{wall}"}}')
    (folder / "train.log").write_text("\n".join(lines))
    assert summary.row(folder) == ["dsp-after-12-seed1", "5", "2.9", "33.0", "2 / 9 / 6", "100", "5.5"]


def runs_in(scores):
    return script.described(pandas.read_csv(scores, dtype=str))


def of_command(command, runs):
    """The runs of scores.csv that a command of the README makes, whatever the seed."""
    words = command.split()
    options = dict(zip(words[2::2], words[3::2], strict=True))
    series = options.get("--method", "dsp") + ("-after" if words[0] == "prune.sh" else "")
    if words[1] == "all":
        series, words[1] = "all", "36"
    tuned = int(options.get("--tune", 0))
    return runs[(runs.series == series) & (runs.heads == int(words[1])) & (runs.tuned == tuned)]


def test_figures_of_the_front_page_are_those_of_the_scores():
    runs = runs_in(PUBLISHED / "scores.csv")
    page = (PROJECT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\|.*`((?:train|prune)\.sh [^`]*)` \|(?: (\d) \|)? ([\d.]+) \| ([\d.]+) \|$", page, re.M)
    assert len(rows) > 15
    for command, seeds, nll, bleu in rows:
        found = of_command(command, runs)
        assert len(found) == int(seeds or 1), command
        assert f"{found.valid_nll.mean():.3f}" == nll, command
        assert f"{found.bleu.mean():.2f}" == bleu, command
