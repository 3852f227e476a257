"""Wrong use of fairseq-train and its kin: clear lines, exit 2, no traceback, nothing written."""

import fcntl
import subprocess

import pytest
from console import COMMANDS, PROJECT
from trainings import TRAIN


def refused(done):
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    # fairseq-generate and its kin say first what they have loaded, in the same stream
    return [line for line in done.stderr.strip().splitlines() if " | INFO | " not in line]


CASES = {
    "K below 0": (["--heads-to-keep", "-1"], ["--heads-to-keep -1", "0 to 36"]),
    "K above H": (["--heads-to-keep", "37"], ["--heads-to-keep 37", "0 to 36"]),
    "K missing": ([], ["--heads-to-keep", "0 to 36", "--pruning-method none"]),
    "unknown method": (["--pruning-method", "magic", "--heads-to-keep", "3"], ["magic", "dsp-published", "ste"]),
    "final above initial": (
        ["--heads-to-keep", "3", "--initial-temperature", "0.1", "--final-temperature", "0.3"],
        ["--final-temperature 0.3", "0.1"],
    ),
    "quantisation noise": (["--heads-to-keep", "3", "--quant-noise-pq", "0.1"], ["--quant-noise-pq 0.1"]),
    "half precision without a GPU": (
        ["--heads-to-keep", "3", "--fp16", "--cpu"],
        ["--fp16:", "--fp16-no-flatten-grads", "--memory-efficient-fp16"],
    ),
    "flag of another method": (
        ["--pruning-method", "ste", "--heads-to-keep", "3", "--cooldown-updates", "5"],
        ["--cooldown-updates 5", "ste"],
    ),
}


@pytest.mark.parametrize("options, words", CASES.values(), ids=CASES.keys())
def test_one_clear_line(run, corpus, tmp_path, options, words):
    folder = tmp_path / "save"
    done = run("fairseq-train", corpus.data_bin, *TRAIN, "--save-dir", folder, "--max-update", 1, *options)
    lines = refused(done)
    assert len(lines) == 1
    assert all(word in lines[0] for word in words)
    assert not folder.exists()


def test_all_problems_at_once(run, corpus, tmp_path):
    done = run(
        "fairseq-train", tmp_path / "nowhere", *TRAIN, "--save-dir", tmp_path / "save", "--max-update", 1,
        "--task", "translation", "--criterion", "label_smoothed_cross_entropy", "--heads-to-keep", "99",
        "--initial-temperature", "-1", "--final-temperature", "0", "--cooldown-updates", "-5",
        "--pruning-lr", "0", "--search-updates", "0", "--encoder-xformers-att-config", "{}",
    )  # fmt: skip
    text = "\n".join(refused(done))
    for word in (
        "--heads-to-keep 99", "--initial-temperature -1", "--final-temperature 0", "--cooldown-updates -5",
        "--pruning-lr 0", "--search-updates 0", "--task translation", "--criterion label_smoothed",
        "nowhere", "--encoder-xformers-att-config",
    ):  # fmt: skip
        assert word in text
    assert not (tmp_path / "save").exists()


def test_missing_dictionary(run, corpus, tmp_path):
    (tmp_path / "empty").mkdir()
    options = ["--save-dir", tmp_path / "save", "--heads-to-keep", 3, "--max-update", 1]
    [line] = refused(run("fairseq-train", tmp_path / "empty", *TRAIN, *options))
    assert "dict." in line and "fairseq-preprocess" in line
    [line] = refused(
        run("fairseq-train", tmp_path / "empty", *TRAIN, *options, "-s", "de", "-t", "en", "--max-epoch", 1)
    )[:1]
    assert "dict.de.txt" in line


@pytest.fixture(scope="module")
def checkpoint(run, corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("seven")
    done = run("fairseq-train", corpus.data_bin, *TRAIN, "--save-dir", folder, "--max-update", 1, "--heads-to-keep", 7)
    assert done.returncode == 0, done.stderr
    return folder / "checkpoint_last.pt"


def test_another_k_than_the_restored_checkpoint(run, corpus, checkpoint):
    before = sorted(path.stat().st_mtime_ns for path in checkpoint.parent.iterdir())
    done = run(
        "fairseq-train", corpus.data_bin, *TRAIN, "--save-dir", checkpoint.parent, "--max-update", 2,
        "--heads-to-keep", 8,
    )  # fmt: skip
    [line] = refused(done)
    assert "--heads-to-keep 8" in line and "7" in line and "--finetune-from-model" in line
    assert before == sorted(path.stat().st_mtime_ns for path in checkpoint.parent.iterdir())


def test_truncated_checkpoint(run, corpus, checkpoint, tmp_path):
    short = tmp_path / "checkpoint_last.pt"
    short.write_bytes(checkpoint.read_bytes()[:5000])
    done = run(
        "fairseq-train", corpus.data_bin, *TRAIN, "--save-dir", tmp_path, "--max-update", 2, "--heads-to-keep", 7
    )
    [line] = refused(done)
    assert str(short) in line
    done = run("fairseq-generate", corpus.data_bin, "--user-dir", "dsp_fairseq", "--path", short)
    [line] = refused(done)
    assert str(short) in line


def test_decoding_more_heads_than_there_are(run, corpus, checkpoint):
    done = run(
        "fairseq-generate", corpus.data_bin, "--user-dir", "dsp_fairseq", "--path", checkpoint,
        "--model-overrides", "{'heads_to_keep': 40}",
    )  # fmt: skip
    [line] = refused(done)
    assert "40" in line and "0 to 36" in line


def test_report_of_something_else(run, tmp_path):
    (tmp_path / "text.pt").write_text("no checkpoint")
    [line] = refused(run("dsp-fairseq", "report", tmp_path / "text.pt"))
    assert "text.pt" in line
    [line] = refused(run("dsp-fairseq", "report", tmp_path / "missing.pt"))
    assert "does not exist" in line


def test_the_user_dir_is_forgotten(run, corpus, checkpoint):
    for command in ("fairseq-generate", "fairseq-validate"):
        [line] = refused(run(command, corpus.data_bin, "--path", checkpoint, "--max-tokens", 800, fresh=True))
        assert line.startswith(f"{command}: error: ") and '--user-dir "$(dsp-fairseq user-dir)"' in line


def test_a_disk_too_small_for_the_checkpoint(corpus, tmp_path):
    """A limit for the size of a file stands for it: the write fails half-way in the same place."""
    command = [str(COMMANDS / "fairseq-train"), str(corpus.data_bin), *TRAIN, "--save-dir", str(tmp_path / "save")]
    command += ["--max-update", "1", "--heads-to-keep", "7"]
    limited = ["bash", "-c", 'ulimit -f 200; exec "$@"', "bash", *command]
    done = subprocess.run(limited, capture_output=True, text=True, cwd=PROJECT, timeout=600)
    assert done.returncode == 1, done.stderr
    best = tmp_path / "save" / "checkpoint_best.pt"
    told = f"fairseq-train: error: checkpoint {best}: could not be written: file too large; "
    assert [line.startswith(told) for line in done.stderr.splitlines()] == [True]
    assert "Traceback" not in done.stdout and list(tmp_path.rglob("*.pt*")) == []


def test_a_second_training_into_one_folder(run, corpus, tmp_path):
    with open(tmp_path / ".training-lock", "a") as held:
        fcntl.lockf(held, fcntl.LOCK_EX)
        options = ["--save-dir", tmp_path, "--max-update", 1, "--heads-to-keep", 7]
        [line] = refused(run("fairseq-train", corpus.data_bin, *TRAIN, *options, fresh=True))
    assert line.startswith(f"fairseq-train: error: --save-dir {tmp_path}: another training saves there;")
    assert list(tmp_path.glob("*.pt")) == []


def test_a_reader_that_has_seen_enough_is_no_error(checkpoint):
    command = [COMMANDS / "dsp-fairseq", "report", checkpoint]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()
    assert process.stderr.read() == "" and process.wait() == 0
