"""examples/multi30k/prepare.sh as a user runs it, on small files of the same form."""

import fcntl
import gzip
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "multi30k"
LINES = {"train": 300, "val": 20, "test_2016_flickr": 20}
RESULTS = ("raw", "tok", "codes", "bpe", "data-bin")
PATIENCE = 600  # seconds; the machine may be busy

NOUNS = ("Hund dog", "Mann man", "Straße street", "Café café", "Übung exercise", "Kinder kids", "Ball ball")
VERBS = ("läuft runs", "springt jumps", "schläft sleeps", "spielt plays")


def environment(**extra):
    env = {k: v for k, v in os.environ.items() if k not in ("DSP_VENV", "MULTI30K_DIR", "BPE_MERGES")}
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    return {**env, "BPE_MERGES": "150", **extra}


def prepare(out, *options, **extra):
    return subprocess.run(
        ["bash", EXAMPLE / "prepare.sh", "--out", out, *options],
        env=environment(**extra),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def write(path, lines):
    path.write_bytes(gzip.compress("".join(line + "\n" for line in lines).encode()))


@pytest.fixture
def source(tmp_path):
    """A folder of six gzip files, as the data set has them."""
    return make_source(tmp_path / "source")


def make_source(folder):
    folder.mkdir()
    rng = random.Random(7)
    for split, count in LINES.items():
        pairs = [[rng.choice(words).split() for words in (NOUNS, VERBS, NOUNS)] for _ in range(count)]
        for side, language in enumerate(("de", "en")):
            lines = ['{0[0]} {0[1]} z.B. "{0[2]}".'.format([word[side] for word in pair]) for pair in pairs]
            write(folder / f"{split}.{language}.gz", lines)
    return folder


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """source folder, result folder and what the first run said"""
    folder = tmp_path_factory.mktemp("prepared")
    source = make_source(folder / "source")
    done = prepare(folder / "out", MULTI30K_DIR=str(source))
    assert done.returncode == 0, done.stderr
    return source, folder / "out", done


def content(folder):
    """every file of the results; logs tell paths and times, so they may differ"""
    files = (path for result in RESULTS for path in [folder / result, *(folder / result).rglob("*")])
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in files
        if path.is_file() and path.name != "preprocess.log"
    }


def assert_refused(done, out, *words):
    """exit 2, one line that says all of these, and nothing that looks finished"""
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1, done.stderr
    for word in words:
        assert str(word) in done.stderr
    assert {path.name for path in out.glob("*")} <= {"logs", ".lock"}


def test_raw_text_becomes_binarised_data(prepared):
    _, out, done = prepared
    assert done.stderr == ""
    for stage in ("raw", "tokenise", "learn-bpe", "apply-bpe", "binarise"):
        assert f"{stage}: " in done.stdout
    for split, count in LINES.items():
        for language in ("de", "en"):
            assert len((out / "bpe" / f"{split}.{language}").read_text().splitlines()) == count
    assert (out / "data-bin" / "dict.de.txt").read_bytes() == (out / "data-bin" / "dict.en.txt").read_bytes()
    for split in ("train", "valid", "test"):
        assert (out / "data-bin" / f"{split}.de-en.en.bin").stat().st_size > 0
    types = 4 + len((out / "data-bin" / "dict.de.txt").read_text().splitlines())
    assert f"300 training pairs, {types} types" in done.stdout


def test_text_is_tokenised_lower_cased_with_escapes(prepared):
    _, out, _ = prepared
    text = (out / "tok" / "train.de").read_text()
    assert text == text.lower()
    assert "straße" in text and "läuft" in text
    assert all(line.endswith("&quot; .") for line in text.splitlines())


def test_second_run_skips_every_stage(prepared):
    source, out, _ = prepared
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    done = prepare(out, MULTI30K_DIR=str(source))
    assert done.returncode == 0
    assert done.stdout.count("done before, skipped") == 5
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def test_force_keeps_the_old_results_until_the_new_text_is_whole(prepared, tmp_path):
    _, out, _ = prepared
    before = content(out)
    done = prepare(out, "--force", MULTI30K_DIR=str(tmp_path / "nowhere"))
    assert done.returncode == 2
    assert content(out) == before


def test_force_makes_everything_again(prepared, source, tmp_path):
    out = tmp_path / "out"
    for result in RESULTS:
        (out / result).mkdir(parents=True)
        (out / result / "old").write_text("from an earlier run")
    done = prepare(out, "--force", MULTI30K_DIR=str(source))
    assert done.returncode == 0, done.stderr
    assert content(out) == content(prepared[1])


def test_languages_of_different_length_are_refused_with_both_counts(source, tmp_path):
    write(source / "val.en.gz", ["too few"] * 17)
    done = prepare(tmp_path / "out", MULTI30K_DIR=str(source))
    assert_refused(done, tmp_path / "out", "val", "20 lines", "17 lines", source / "val.en.gz")


@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 2], lambda data: b"not gzip", lambda data: data[:-8] + bytes(8)]
)
def test_damaged_gzip_is_refused(source, tmp_path, damage):
    broken = source / "train.en.gz"
    broken.write_bytes(damage(broken.read_bytes()))
    done = prepare(tmp_path / "out", MULTI30K_DIR=str(source))
    assert_refused(done, tmp_path / "out", broken, "not a whole gzip file", "fetch the file again")


def test_text_that_is_not_utf8_is_refused_with_its_line(source, tmp_path):
    latin = source / "val.de.gz"
    latin.write_bytes(gzip.compress("gut\nschläft\n".encode("latin-1")))
    done = prepare(tmp_path / "out", MULTI30K_DIR=str(source))
    assert_refused(done, tmp_path / "out", latin, "line 2", "UTF-8")


def test_missing_folder_is_refused(tmp_path):
    done = prepare(tmp_path / "out", MULTI30K_DIR=str(tmp_path / "nowhere"))
    assert_refused(done, tmp_path / "out", "MULTI30K_DIR", tmp_path / "nowhere", "is not a folder")


def test_missing_file_is_refused(source, tmp_path):
    (source / "test_2016_flickr.de.gz").unlink()
    done = prepare(tmp_path / "out", MULTI30K_DIR=str(source))
    assert_refused(done, tmp_path / "out", source / "test_2016_flickr.de.gz", "MULTI30K_DIR")


def test_no_network_is_told_with_the_way_out(tmp_path):
    closed = "http://127.0.0.1:9"
    done = prepare(tmp_path / "out", https_proxy=closed, HTTPS_PROXY=closed, no_proxy="", NO_PROXY="")
    assert_refused(done, tmp_path / "out", "train.de.gz", "cannot download", "MULTI30K_DIR")


def test_second_run_in_the_same_folder_waits_its_turn(source, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    with open(out / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert_refused(prepare(out, MULTI30K_DIR=str(source)), out.parent / "other", "another run", out)


@pytest.mark.parametrize("option", [["--ouch"], ["--out"]])
def test_wrong_options_are_refused(option):
    done = subprocess.run(
        ["bash", EXAMPLE / "prepare.sh", *option], env=environment(), capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 2
    assert option[0] in done.stderr and "--help" in done.stderr


def kill_while(out, stage, source):
    """Start prepare.sh and kill all of it as soon as this stage has begun to write."""
    process = subprocess.Popen(
        ["bash", EXAMPLE / "prepare.sh", "--out", out],
        env=environment(MULTI30K_DIR=str(source)),
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + PATIENCE
    while not (out / f"{stage}.partial").exists():
        assert process.poll() is None and time.monotonic() < deadline, f"never came to {stage}"
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    with open(out / ".lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # free when the last child is gone


def test_killed_runs_leave_nothing_finished_and_the_next_completes(prepared, tmp_path):
    source, whole, _ = prepared
    out = tmp_path / "out"
    for stage in ("tok", "bpe", "data-bin"):
        kill_while(out, stage, source)
        finished = [result for result in RESULTS if (out / result).exists()]
        assert finished == list(RESULTS[: RESULTS.index(stage)])
    done = prepare(out, MULTI30K_DIR=str(source))
    assert done.returncode == 0, done.stderr
    assert not list(out.glob("*.partial"))
    assert content(out) == content(whole)


BATCHES = """
import sys
from fairseq import options, tasks
args = [sys.argv[1], "--task", "translation", "--arch", "transformer", "--max-tokens", "2048"]
task = tasks.setup_task(options.parse_args_and_arch(options.get_training_parser("translation"), args))
task.load_dataset("train")
print(len(task.get_batch_iterator(task.dataset("train"), max_tokens=2048, required_batch_size_multiple=8)))
"""


@pytest.mark.skipif("MULTI30K_DIR" not in os.environ, reason="MULTI30K_DIR names no folder with the real data")
def test_real_data_gives_the_dictionary_and_batches_of_the_published_figures(tmp_path):
    out = tmp_path / "out"
    done = prepare(out, MULTI30K_DIR=os.environ["MULTI30K_DIR"], BPE_MERGES="10000")
    assert done.returncode == 0, done.stderr
    assert "29000 training pairs, 9720 types" in done.stdout
    counted = subprocess.run(
        [sys.executable, "-c", BATCHES, out / "data-bin"], capture_output=True, text=True, timeout=PATIENCE
    )
    assert counted.stdout.splitlines()[-1:] == ["239"], counted.stderr
