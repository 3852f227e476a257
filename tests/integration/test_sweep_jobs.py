"""Sweeps whose jobs are processes of commands that only pretend, on this machine and on a pretended cluster."""

import csv
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
from sweep_cases import TRAIN, cells, with_heads, write_config

from dsp_fairseq.cli import main
from dsp_fairseq.errors import BadInput, Failed
from dsp_fairseq.sweep import executors, job, plan, records, trained
from dsp_fairseq.sweep import run as run_module
from dsp_fairseq.sweep.evaluation import EVALUATIONS
from dsp_fairseq.sweep.lock import locked

# Commands of fairseq that note how they were called; $FAKE says what else they do, by cell
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
        log.write(json.dumps({{"valid_nll_loss": "2.5", "valid_loss": "2.5"}}) + "\\n")
elif command == "dsp-fairseq":
    with open(words[2 if words[0] == "prune" else 3], "w") as file:
        file.write("0")
elif "validate" in command:
    print('x | INFO | valid | {{"epoch": null, "valid_nll_loss": "3.5"}}')
elif "eval-lm" in command:
    print("x | INFO | Loss (base 2): 3.0000, Perplexity: 8.00", file=sys.stderr)
else:
    print("D-1\\t-0.1\\tthe second sentence is here\\nD-0\\t-0.1\\tthis is the first one")
    print("Generate test with beam=5: BLEU4 = 31.25, 60.0/40.0/30.0/20.0 (BP=1.000, ratio=1.0, syslen=9, reflen=9)")
"""


@pytest.fixture(autouse=True)
def wide_screen(monkeypatch):
    """Every table in one piece."""
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def pretended(tmp_path, monkeypatch):
    """Commands that pretend; returns the function that runs a sweep and one that tells which commands were called."""
    calls = tmp_path / "calls"
    calls.touch()
    for name in (plan.TRAIN, *EVALUATIONS, plan.VALIDATE, plan.OWN):
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

    def test_language_models_are_evaluated_and_pruned_from_the_unpruned_one(self, tmp_path, pretended, capsys):
        run, called = pretended
        changes = {"train": "--arch all_attention_lm_tiny", "generate": None, "evaluate": "--tokens-per-sample 64"}
        path = write_config(tmp_path, grid={**GRID, "seed": [1]}, from_unpruned=True, **changes)
        assert run(path, **{f"{ONE} fairseq-eval-lm": "fail"}) == 1
        out, base = tmp_path / "out", "unpruned-seed1"
        assert [line[:2] for line in called()] == [
            ["fairseq-train", base], ["fairseq-eval-lm", base], ["fairseq-train", ONE], ["fairseq-eval-lm", ONE],
        ]  # fmt: skip
        told = f"fairseq-eval-lm failed: RuntimeError: out of luck (all of it: {out}/{ONE}/evaluate.txt.partial)"
        assert told in capsys.readouterr().err
        assert run(path) == 0 and [line[:2] for line in called()] == [["fairseq-eval-lm", ONE]]
        assert "| dsp       |     12 of 36 |       1 |         8.00 |       2.500 |" in capsys.readouterr().out
        [_, row] = csv.DictReader((out / "results.csv").open())
        assert (row["perplexity"], row["valid_nll"]) == ("8.00", "2.5")
        assert float(row["evaluate_seconds"]) >= 0 and "generate_seconds" not in row

    def test_a_cell_waits_for_its_teacher(self, tmp_path, pretended, capsys):
        run, called = pretended
        grid = {"method": ["dsp"], "parameters_to_keep": ["50%"], "seed": [1]}
        path = write_config(tmp_path, grid=grid, distillation="--distillation-weight 0.5")
        assert run(path, "--jobs", "9", **{"unpruned-seed1 fairseq-train": "fail"}) == 1
        distilled = "dsp-distilled-parameters-50pct-seed1"
        assert f"{distilled}: learns from unpruned-seed1, which failed" in capsys.readouterr().err
        assert sorted({line[1] for line in called()}) == ["dsp-parameters-50pct-seed1", "unpruned-seed1"]
        assert run(path, "--jobs", "9") == 0
        names = [(line[0], line[1]) for line in called()]
        assert names.index(("fairseq-train", "unpruned-seed1")) < names.index(("fairseq-train", distilled))

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
            "import sys, time; sys.path[:0] = sys.argv[2:]; import test_sweep_jobs as test\n"
            "out = sys.argv[1]\n"
            "with test.locked(out) as lock, test.executors.opened('local', out, (lock,), {}) as executor:\n"
            "    print(test.sleeping(executor, test.Path(out))[1], flush=True); time.sleep(60)"
        )
        words = [sys.executable, "-c", code, str(tmp_path), str(Path(__file__).parent), str(Path(__file__).parents[1])]
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
        assert lines[0] == "export OMP_NUM_THREADS=1 MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=8589934592"
        assert lines[2] == f"# {ONE}: to be trained and decoded"
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
        assert called()[0][0] == "fairseq-train"  # its decoding may have begun before it was stopped
        assert not (tmp_path / "out" / ONE / "generate.txt").exists()
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
        Path(cell.printed).rename(f"{cell.printed}.partial")
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

    def test_a_signal_waits_for_the_note_of_a_job_also_when_another_thread_receives_it(self):
        begin, reached = threading.Event(), False
        sender = threading.Thread(target=lambda: begin.wait() and os.kill(os.getpid(), signal.SIGTERM))
        sender.start()  # before signals are masked, which threads inherit
        with pytest.raises(KeyboardInterrupt), run_module._interruptible(), run_module._uninterrupted():
            begin.set()
            sender.join()
            time.sleep(0.05)
            reached = True
        assert reached

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
    return trained.Trained(77.0, record.kept, record.heads, None, 1_000_000, 500_000)


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
    signal.pthread_kill(threading.main_thread().ident, number)  # which may hold signals back for a moment


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
