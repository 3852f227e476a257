"""`dsp-fairseq sweep` with the stock commands: killed in the middle, started again, refused where it must be."""

import csv
import json
import os
import signal
import subprocess
import time

import pytest
import yaml
from console import COMMANDS, PROJECT
from in_process import run as run_in_process

from dsp_fairseq.checkpoints.reading import load
from dsp_fairseq.cli import main
from dsp_fairseq.sweep import executors

pytest.importorskip("matplotlib")

UPDATES = 30
TRAIN = f"""--arch gated_transformer_tiny --share-all-embeddings --optimizer adam --adam-betas "(0.9, 0.98)" --lr 3e-3
 --max-tokens 800 --dropout 0 --max-update {UPDATES} --save-interval-updates 5 --keep-interval-updates 1
 --validate-interval 99 --disable-validation --log-interval 1 --num-workers 0 --cpu"""
PICTURES = ("curve.png", "heads.png")


@pytest.fixture(scope="module")
def folder(corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    content = {
        "data": str(corpus.data_bin),
        "out": str(folder / "out"),
        "train": TRAIN,
        "generate": "--beam 2 --max-len-b 8 --remove-bpe --gen-subset valid --cpu",
        "grid": {"method": ["dsp", "uniform"], "heads_to_keep": [7], "seed": [1]},
    }
    (folder / "sweep.yaml").write_text(yaml.safe_dump(content))
    return folder


@pytest.fixture(scope="module")
def swept(forked, folder):
    """The first sweep dies by kill -9 when the first training has saved something; the second goes on."""
    killed = kill_when(folder, lambda: checkpoint(folder).exists())
    before = updates_in(checkpoint(folder))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(executors, "executable", lambda name: str(forked / name))
        patch.setenv("OMP_NUM_THREADS", "1")
        done = run_in_process("dsp-fairseq", "sweep", folder / "sweep.yaml", env=dict(os.environ), cwd=PROJECT)
    assert done.returncode == 0, done.stderr
    return killed, before, done


def checkpoint(folder):
    return folder / "out" / "dsp-7-seed1" / "checkpoint_last.pt"


def updates_in(path):
    return load(str(path))["optimizer_history"][-1]["num_updates"]


def kill_when(folder, is_time):
    """Start a sweep and kill it; returns the process ids of the training that it had started."""
    command = [COMMANDS / "dsp-fairseq", "sweep", folder / "sweep.yaml"]
    sweep = subprocess.Popen(command, cwd=PROJECT, env={**os.environ, "OMP_NUM_THREADS": "1"})
    until = time.monotonic() + 120
    while not is_time():
        assert sweep.poll() is None and time.monotonic() < until
        time.sleep(0.05)
    with open(f"/proc/{sweep.pid}/task/{sweep.pid}/children") as file:
        children = file.read().split()
    os.kill(sweep.pid, signal.SIGKILL)
    sweep.wait()
    return children


def test_a_killed_sweep_goes_on_from_its_checkpoint(swept, folder):
    children, before, done = swept
    assert len(children) == 1 and 0 < before < UPDATES
    assert not any(os.path.exists(f"/proc/{child}") for child in children)
    assert "dsp-7-seed1: training goes on" in done.stderr and "uniform-7-seed1: training starts" in done.stderr
    assert f"Loaded checkpoint {checkpoint(folder)}" in (folder / "out" / "dsp-7-seed1" / "train.txt").read_text()
    assert updates_in(checkpoint(folder)) == UPDATES


def test_the_time_of_a_training_includes_that_before_its_restart(swept, folder):
    """As the checkpoint counts it; fairseq's log counts from the last restart."""
    told = json.loads((checkpoint(folder).parent / "cell.json").read_text())["train_seconds"]
    assert told == pytest.approx(load(str(checkpoint(folder)))["extra_state"]["previous_training_time"], abs=0.1)


def test_results(swept, folder):
    out = folder / "out"
    rows = list(csv.DictReader((out / "results.csv").open()))
    assert [(row["cell"], row["heads"]) for row in rows] == [("dsp-7-seed1", "7"), ("uniform-7-seed1", "7")]
    for row in rows:
        assert float(row["train_seconds"]) > 0
        text = (out / row["cell"] / "generate.txt").read_text()
        assert f"BLEU4 = {float(row['bleu']):.2f}" in text
        assert sum(int(row[kind]) for kind in ("encoder_self", "decoder_self", "decoder_cross")) == 7
    assert "7 of 36" in (out / "results.md").read_text() and "7 of 36" in swept[2].stdout
    for name in PICTURES:
        assert (out / name).read_bytes().startswith(b"\x89PNG")


@pytest.fixture
def sweep(capsys):
    """Run the command in this process: (exit status, stdout, stderr)."""

    def command(*arguments):
        status = main(["sweep", *map(str, arguments)])
        return (status, *capsys.readouterr())

    return command


def test_again_nothing_is_run_and_the_results_are_the_same(sweep, swept, folder):
    out = folder / "out"
    kept = [out / "results.csv", out / "results.md", out / "uniform-7-seed1" / "checkpoint_last.pt"]
    before = [path.read_bytes() for path in kept]
    times = kept[-1].stat().st_mtime_ns
    (out / "results.csv").unlink()
    status, _, errors = sweep(folder / "sweep.yaml", "--no-plots")
    assert status == 0 and "2 of 2 cells were done before" in errors and "training" not in errors
    assert [path.read_bytes() for path in kept] == before and kept[-1].stat().st_mtime_ns == times


def test_other_flags_are_refused_in_a_line_each(sweep, swept, folder):
    content = yaml.safe_load((folder / "sweep.yaml").read_text())
    content["train"] = content["train"].replace("3e-3", "4e-3")
    (folder / "other.yaml").write_text(yaml.safe_dump(content))
    status, printed, errors = sweep(folder / "other.yaml")
    lines = errors.splitlines()
    assert (status, printed) == (2, "")
    assert len(lines) == 2 and all("--lr 3e-3, now --lr 4e-3" in line and "--out" in line for line in lines)


def test_what_fairseq_refuses_is_told_before_anything_runs(sweep, folder, tmp_path):
    content = yaml.safe_load((folder / "sweep.yaml").read_text())
    content.update(out=str(tmp_path / "out"), generate="--beam 2 --fast")
    content["grid"]["heads_to_keep"] = [37]
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(content))
    status, _, errors = sweep(tmp_path / "sweep.yaml")
    assert status == 2 and not (tmp_path / "out").exists()
    assert [line.partition("error: ")[2] for line in errors.splitlines()] == [
        "train: --heads-to-keep 37: must be 0 to 36, the heads of this model (dsp-37-seed1 and 1 more)",
        "generate: unrecognized arguments: --fast (dsp-37-seed1)",
    ]


def test_dry_run_prints_commands_that_work(sweep, folder, tmp_path, forked):
    status, printed, _ = sweep(folder / "sweep.yaml", "--out", tmp_path / "out", "--dry-run")
    lines = [line for line in printed.splitlines() if line]
    assert status == 0
    assert lines[1] == "# dsp-7-seed1: to be trained and decoded" and "# 2 cells, time: about" in lines[-1]
    assert not (tmp_path / "out").exists()
    shorter = f"export PATH={forked}:$PATH; {lines[0]}; {lines[2]} && {lines[3]} --max-update 1"
    assert subprocess.run(["bash", "-c", shorter], capture_output=True).returncode == 0
    log = (tmp_path / "out" / "dsp-7-seed1" / "train.log").read_text()
    assert '"num_updates": "1"' in log
