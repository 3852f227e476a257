"""gpu.sh, gpu_multi30k.sh and wheels.sh: wrong use in one line; a sweep that is stopped by the time goes on."""

import json
import os
import shutil
import subprocess
import sys
import time

import pytest
from console import COMMANDS, PROJECT

BENCHMARKS = PROJECT / "benchmarks"
# one training of two epochs; the grid's other keys as in gpu_multi30k.yaml
SWEEP = """data: data-bin
out: cells
train: >-
  --arch gated_transformer_tiny --share-all-embeddings --dropout 0 --optimizer adam --lr 3e-3 --max-tokens 800
  --max-update 4 --disable-validation --num-workers 0 --cpu
generate: >-
  --beam 1 --max-len-b 8 --gen-subset valid --remove-bpe --tokenizer moses --source-lang de --target-lang en --cpu
grid: {method: [uniform], heads_to_keep: [5], seed: [1]}
score: {sacrebleu: reference.en}
"""


def script(name, *arguments, **variables):
    env = {**os.environ, "PATH": f"{COMMANDS}{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "1", **variables}
    command = ["bash", str(BENCHMARKS / name), *map(str, arguments)]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=600)


@pytest.mark.parametrize(
    "name, arguments, told",
    [
        ("gpu.sh", ["--minutes", "0"], "--minutes 0: must be"),
        ("gpu.sh", ["--device", "tpu"], "--device tpu: must be cuda or cpu"),
        ("gpu.sh", ["--out"], "--out needs a value"),
        ("gpu.sh", ["--wheels", "/nowhere"], "--wheels /nowhere: is no folder"),
        ("gpu.sh", ["--fast"], "unknown option --fast"),
        ("gpu_multi30k.sh", ["--jobs", "0"], "--jobs 0: must be"),
        ("gpu_multi30k.sh", ["--state", "/nowhere.tar.gz"], "--state /nowhere.tar.gz: is no file"),
        ("wheels.sh", ["--python", "/nowhere/python"], "--python /nowhere/python: does not run"),
        ("wheels.sh", ["--out", str(PROJECT / "docs"), "--python", sys.executable], "holds no wheels"),
    ],
)
def test_wrong_use_is_told_in_one_line(name, arguments, told):
    done = script(name, *arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert told in done.stderr and done.stderr.count("\n") == 1 and not done.stdout


def test_no_gpu_is_told_at_once(tmp_path):
    done = script("gpu.sh", "--out", tmp_path / "out", CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 2
    assert "no GPU" in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_wheels_of_another_python_are_refused(tmp_path):
    (tmp_path / "fairseq-0.12.2-cp27-cp27-linux_x86_64.whl").touch()
    done = script("gpu.sh", "--wheels", tmp_path, "--out", tmp_path / "out")
    assert done.returncode == 2 and "is for another Python than" in done.stderr, done.stdout + done.stderr


def sweep(python, folder, seconds, *more):
    paths = {"--data": folder / "data", "--work": folder / "work", "--out": folder / "out"}
    words = [str(word) for pair in paths.items() for word in pair]
    until = str(time.time() + seconds)
    command = [str(python), str(BENCHMARKS / "gpu_multi30k.py"), *words, "--config", str(folder / "sweep.yaml")]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    command += ["--jobs", "1", "--device", "cpu", "--until", until, *map(str, more)]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=900)


def test_a_sweep_is_stopped_by_the_time_and_goes_on(corpus, tmp_path, forked):
    (tmp_path / "data" / "raw").mkdir(parents=True)
    shutil.copytree(corpus.data_bin, tmp_path / "data" / "data-bin")
    shutil.copy(corpus.text / "valid.en", tmp_path / "data" / "raw" / "test_2016_flickr.en")
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    stopped = sweep(sys.executable, tmp_path, seconds=0)
    assert stopped.returncode == 3, stopped.stdout + stopped.stderr
    assert "0 of 1 cells are done" in stopped.stdout and not (tmp_path / "out" / "multi30k.json").exists()
    done = sweep(forked / "python", tmp_path, seconds=900)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "out" / "multi30k.json").read_text())
    [row] = found["results"]
    assert row["heads"] == 5 == sum(row["kept"].values()) and found["settings"]["cells"] == 1
    assert "tok:13a" in found["settings"]["signature"]
    assert not list((tmp_path / "work").rglob("*.pt"))
    # on another machine, from the state alone, nothing is left to do
    shutil.rmtree(tmp_path / "work")
    shutil.move(tmp_path / "out" / "multi30k-state.tar.gz", tmp_path / "state.tar.gz")
    (tmp_path / "out" / "multi30k.json").unlink()
    again = sweep(forked / "python", tmp_path, 900, "--state", tmp_path / "state.tar.gz")
    assert again.returncode == 0 and "1 of 1 cells were done before" in again.stderr, again.stderr
    assert json.loads((tmp_path / "out" / "multi30k.json").read_text())["results"] == [row]
