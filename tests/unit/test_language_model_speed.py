"""benchmarks/language_model_speed.py: models of every share of the heads, in turns, as a table, JSON and a picture."""

import json
import sys
from pathlib import Path

import pytest
from scripts_in_process import run_script

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
import language_model_speed as speed  # noqa: E402

HEADS = [8, 7, 6, 5, 4, 3, 2, 1, 0]


def test_ratios_are_taken_round_by_round_and_drawn_against_heads():
    pytest.importorskip("matplotlib")
    results = speed.results_of([4, 2, 0], [[2.0, 4.0, 8.0], [1.0, 3.0, 2.0], [0.0, 0.0, 0.0]])
    assert results[1]["ratio"] == {"median": 0.5, "min": 0.25, "max": 0.75}
    assert results[1]["milliseconds"] == {"median": 2000.0, "min": 1000.0, "max": 3000.0}
    [panel] = speed.draw(results, "a shape", "conditions").axes
    [measured] = panel.containers
    assert measured.lines[0].get_xdata().tolist() == [4, 2, 0] and measured.lines[0].get_ydata().tolist() == [1, 0.5, 0]
    assert [text.get_text() for text in panel.texts] == ["1.00", "0.50", "0.00"]


def test_models_take_turns(monkeypatch):
    asked = []
    monkeypatch.setattr(speed, "seconds", lambda model, x: asked.append(model) or float(len(asked)))
    assert speed.in_turns([("one", 2), ("other", 1)], None, 2) == [[3.0, 5.0], [4.0, 6.0]]
    assert asked == ["one", "other"] * 3


def test_as_a_command(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setenv("DSP_COMMIT", "of a test")  # git would be a process
    shape = ["--shape", "all_attention_lm_tiny", "--batch", 1, "--rounds", 1]
    done = run_script(
        BENCHMARKS / "language_model_speed.py", *shape, "--plot", tmp_path / "a.png", "--json", tmp_path / "a.json"
    )
    assert done.returncode == 0, done.stderr
    assert [int(line.split("|")[1]) for line in done.stdout.splitlines()[2:]] == HEADS
    told = json.loads((tmp_path / "a.json").read_text())
    assert [row["heads"] for row in told["results"]] == HEADS and told["machine"]["commit"] == "of a test"
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    wrong = run_script(BENCHMARKS / "language_model_speed.py", "--plot", tmp_path / "a.pdf")
    assert wrong.returncode == 2 and "must be a name that ends in .png" in wrong.stderr
