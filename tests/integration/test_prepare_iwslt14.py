"""scripts/prepare-iwslt14.sh as a user runs it, on a small archive of the same form; downloads from 127.0.0.1."""

import fcntl
import os
import re
import signal
import subprocess
import time
from functools import partial

import pytest
from corpus_archives import (
    BAD_PAIRS,
    KEPT,
    PATIENCE,
    RESULTS,
    SCRIPTS,
    TEST_PAIRS,
    TESTS,
    archive_files,
    assert_refused,
    content,
    environment,
    lines,
    make_archive,
    stub,
)
from corpus_archives import prepare as prepare_script
from file_server import serving

SCRIPT = "prepare-iwslt14.sh"
prepare = partial(prepare_script, SCRIPT)
small = ("--subwords", "120")


def in_language(other, tests=TESTS):
    """The files of another pair with English, and the German text."""
    files = archive_files(f"{other}-en", tests)
    return {re.sub(r"\.de(?=\.xml$|$)", f".{other}", name): text for name, text in files.items()}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """archive, result folder and what the first run said"""
    folder = tmp_path_factory.mktemp("prepared")
    archive = make_archive(folder / "source")
    done = prepare(folder / "out", *small, IWSLT14_ARCHIVE=archive)
    assert done.returncode == 0, done.stdout + done.stderr
    return archive, folder / "out", done


def test_archive_becomes_binarised_data(prepared):
    _, out, done = prepared
    assert done.stderr == ""
    valid, test = KEPT // 23, len(TESTS) * TEST_PAIRS
    for language in ("de", "en"):
        counts = [len(lines(out / "subwords" / f"{name}.{language}")) for name in ("train", "valid", "test")]
        assert counts == [KEPT - valid, valid, test]
        assert (out / "data-bin" / f"valid.de-en.{language}.bin").stat().st_size > 0
    assert (out / "data-bin" / "dict.de.txt").read_bytes() == (out / "data-bin" / "dict.en.txt").read_bytes()
    assert f"{KEPT - valid} training pairs, {valid} for validation, {test} for test" in done.stdout
    assert "lines/s" in done.stdout


def test_markup_goes_and_titles_stay(prepared):
    _, out, _ = prepared
    raw = lines(out / "raw" / "train.de")
    assert len(raw) == KEPT + len(BAD_PAIRS)
    assert raw[:2] == ["Vortrag 0: Titel", "Vortrag 0: Text"]
    assert not any(tag in line for line in raw for tag in ("<", "http", "a, b"))


def test_every_23rd_clean_pair_is_for_validation_on_both_sides(prepared):
    _, out, _ = prepared
    for language in ("de", "en"):
        clean = [line for line in lines(out / "tok" / f"train.{language}") if line]
        dropped = {"de": ("kurz", "zu zu"), "en": ("long", "no german", "too too")}[language]
        clean = [line for line in clean if not line.startswith(dropped)]
        assert lines(out / "split" / f"valid.{language}") == clean[22::23]
        assert len(lines(out / "split" / f"train.{language}")) + len(clean[22::23]) == len(clean)


def test_what_the_filter_dropped_is_reported(prepared):
    _, out, _ = prepared
    reported = f"{KEPT} of {KEPT + len(BAD_PAIRS)} pairs kept (1 empty, 1 too long, 1 too unequal)"
    assert reported in (out / "logs" / "split.log").read_text()


def test_test_sets_are_joined_in_the_customary_order(prepared):
    _, out, _ = prepared
    text = lines(out / "split" / "test.en")
    assert text[::TEST_PAIRS] == [f"{test.lower()} it &apos;s" for test in TESTS]


def test_text_is_tokenised_then_lower_cased(prepared):
    _, out, _ = prepared
    text = (out / "split" / "train.de").read_text()
    assert text == text.lower()
    assert "straße" in text
    assert "z.b. gut . am" in text  # before a small letter the full stop of "gut." would stay


def test_second_run_skips_every_stage(prepared):
    archive, out, _ = prepared
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    done = prepare(out, *small, IWSLT14_ARCHIVE=archive.parent / "gone")  # not needed any more
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("done before, skipped") == 6
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def test_other_settings_are_not_mixed_with_finished_stages(prepared):
    archive, out, _ = prepared
    before = content(out)
    done = prepare(out, *small, "--keep-case", IWSLT14_ARCHIVE=archive)
    assert done.returncode == 2
    assert "other settings" in done.stderr and "--force" in done.stderr
    assert content(out) == before


def test_a_refused_run_does_not_bind_the_folder_to_its_flags(prepared, tmp_path):
    archive, out, _ = prepared
    done = prepare(tmp_path / "out", *small, "--source", "fr", IWSLT14_ARCHIVE=archive)
    assert_refused(done, tmp_path / "out", "fr-en/train.tags.fr-en.fr", "--source and --target")
    done = prepare(tmp_path / "out", *small, IWSLT14_ARCHIVE=archive, PATH=stub(tmp_path))
    assert done.returncode == 0, done.stderr
    assert content(tmp_path / "out", "subwords") == content(out, "subwords")


def test_results_of_something_else_are_not_replaced(tmp_path):
    for result in ("raw", "data-bin"):
        (tmp_path / result).mkdir()
        (tmp_path / result / "theirs").write_text("from another script")
    before = content(tmp_path)
    done = prepare(tmp_path, *small, "--force")
    assert done.returncode == 2 and "something else" in done.stderr and "--out" in done.stderr
    assert content(tmp_path) == before


def test_force_makes_everything_again_also_with_other_flags(prepared, tmp_path):
    archive, whole, _ = prepared
    out = tmp_path / "out"
    for result in RESULTS:
        (out / result).mkdir(parents=True)
        (out / result / "old").write_text("from an earlier run")
    (out / "settings").write_text("other flags\n")
    done = prepare(out, *small, "--force", IWSLT14_ARCHIVE=archive, PATH=stub(tmp_path))
    assert done.returncode == 0, done.stderr
    for result in RESULTS[:-1]:
        assert content(out, result) == content(whole, result)
    assert (out / "settings").read_text() == (whole / "settings").read_text()
    assert not (out / "data-bin" / "old").exists()


def test_force_keeps_the_old_results_until_the_new_text_is_whole(prepared, tmp_path):
    _, out, _ = prepared
    before = content(out)
    done = prepare(out, *small, "--force", IWSLT14_ARCHIVE=make_archive(tmp_path / "s", {"de-en/empty": ""}))
    assert done.returncode == 2
    assert content(out) == before


def test_the_other_direction_with_case_from_the_same_archive(prepared, tmp_path):
    archive, out, _ = prepared
    options = ("--source", "en", "--target", "de", "--keep-case", "--jobs", "2")
    done = prepare(tmp_path / "out", *small, *options, IWSLT14_ARCHIVE=archive, PATH=stub(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "--source-lang en --target-lang de --joined-dictionary" in (tmp_path / "arguments").read_text()
    cased = (tmp_path / "out" / "split" / "train.de").read_text()
    assert "z.B. gut . Am" in cased
    assert cased.lower() == (out / "split" / "train.de").read_text()  # two processes, same lines in the same order


def test_sentencepiece_on_untokenised_text(prepared, tmp_path):
    archive, _, _ = prepared
    done = prepare(
        tmp_path / "out", "--sentencepiece", "--subwords", "60", IWSLT14_ARCHIVE=archive, PATH=stub(tmp_path)
    )
    assert done.returncode == 0, done.stderr
    pieces, words = (lines(tmp_path / "out" / folder / "train.de") for folder in ("subwords", "split"))
    assert [line.replace(" ", "").replace("▁", " ").strip() for line in pieces] == words
    assert words[2].endswith(".") and not words[2].endswith(" .")


def test_a_vocabulary_too_large_for_the_text_is_refused(prepared, tmp_path):
    archive, _, _ = prepared
    done = prepare(tmp_path / "out", "--sentencepiece", "--subwords", "9999", IWSLT14_ARCHIVE=archive)
    left = ("settings", "raw", "tok", "split")
    assert_refused(done, tmp_path / "out", "--subwords 9999", "choose another number", left=left)


def test_other_languages_take_the_test_sets_that_are_there(tmp_path):
    files = in_language("fr", TESTS[2:4])
    archive = make_archive(tmp_path / "s", files, "fr-en.tgz")
    done = prepare(tmp_path / "out", *small, "--source", "fr", IWSLT14_ARCHIVE=archive, PATH=stub(tmp_path))
    assert done.returncode == 0, done.stderr
    assert len(lines(tmp_path / "out" / "raw" / "test.fr")) == 2 * TEST_PAIRS


def test_slovenian_has_test_sets_of_its_own(tmp_path):
    tests = ("TED.dev2012", "TED.tst2012", "TED.tst2013")
    files = in_language("sl", tests)
    files["sl-en/IWSLT14.TED.dev2010.sl-en.en.xml"] = "no set of this language"
    archive = make_archive(tmp_path / "s", files, "sl-en.tgz")
    done = prepare(tmp_path / "out", *small, "--source", "sl", IWSLT14_ARCHIVE=archive, PATH=stub(tmp_path))
    assert done.returncode == 0, done.stderr
    starts = lines(tmp_path / "out" / "raw" / "test.en")[::TEST_PAIRS]
    assert [start.split()[0] for start in starts] == list(tests)


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.fixture
def files():
    return archive_files()


def refused(tmp_path, files, *words):
    archive = make_archive(tmp_path / "source", files)
    done = prepare(tmp_path / "out", *small, IWSLT14_ARCHIVE=archive)
    assert_refused(done, tmp_path / "out", *words)


def test_languages_of_different_length_are_refused_with_both_counts(files, tmp_path):
    files["de-en/train.tags.de-en.en"] += "one more\n"
    total = KEPT + len(BAD_PAIRS)
    refused(tmp_path, files, f"{total} lines in de-en/train.tags.de-en.de", f"{total + 1} lines", "differ")


def test_test_sets_of_different_length_are_refused(files, tmp_path):
    files["de-en/IWSLT14.TED.tst2011.de-en.de.xml"] += '<seg id="9"> mehr </seg>\n'
    refused(tmp_path, files, "tst2011.de-en.de.xml", "3 lines", "4 lines")


@pytest.mark.parametrize("languages", [("en",), ("de", "en")])
def test_a_missing_test_set_is_refused(files, tmp_path, languages):
    for language in languages:
        del files[f"de-en/IWSLT14.TEDX.dev2012.de-en.{language}.xml"]
    refused(tmp_path, files, "holds no", "TEDX.dev2012.de-en.en.xml")


def test_text_that_is_not_utf8_is_refused_with_its_line(files, tmp_path):
    files["de-en/train.tags.de-en.de"] = "gut\nschläft\n".encode("latin-1")
    refused(tmp_path, files, "train.tags.de-en.de", "line 2", "not UTF-8")


@pytest.mark.parametrize("part", [0.02, 0.4, 0.6, 0.99])
def test_an_archive_that_ends_too_early_is_refused(tmp_path, part):
    """in the first header, in the training text, between members, in the last one"""
    archive = make_archive(tmp_path / "s")
    whole = archive.read_bytes()
    archive.write_bytes(whole[: int(len(whole) * part)])
    assert_refused(prepare(tmp_path / "out", IWSLT14_ARCHIVE=archive), tmp_path / "out", archive, "not a whole tar.gz")


def test_an_archive_with_a_wrong_crc_is_refused(tmp_path):
    archive = make_archive(tmp_path / "s")
    archive.write_bytes(archive.read_bytes()[:-8] + bytes(8))
    assert_refused(prepare(tmp_path / "out", IWSLT14_ARCHIVE=archive), tmp_path / "out", archive, "not a whole tar.gz")


def test_something_else_than_an_archive_is_refused(tmp_path):
    other = tmp_path / "de-en.tgz"
    for make in (lambda: None, lambda: other.write_text("<html>")):
        make()
        done = prepare(tmp_path / "out", IWSLT14_ARCHIVE=other)
        assert_refused(done, tmp_path / "out", other, "download it")


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--ouch"], "--ouch"),
        (["--source"], "--source"),
        (["--source", "de", "--target", "fr"], "must be en"),
        (["--source", "deu"], "deu"),
        (["--subwords", "many"], "--subwords many"),
        (["--jobs", "0"], "--jobs 0"),
    ],
)
def test_wrong_options_are_refused(tmp_path, options, word):
    assert_refused(prepare(tmp_path / "out", *options), tmp_path / "out", word)


def test_help_names_every_flag_and_the_cores(tmp_path):
    done = prepare(tmp_path / "out", "--help", OMP_NUM_THREADS="1")
    assert done.returncode == 0
    assert f"all cores, {len(os.sched_getaffinity(0))} here" in done.stdout
    for word in ("--source", "--keep-case", "--sentencepiece", "--subwords N", "--force", "IWSLT14_ARCHIVE"):
        assert word in done.stdout
    assert not (tmp_path / "out").exists()


def test_second_run_in_the_same_folder_waits_its_turn(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    with open(out / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert_refused(prepare(out), out, "another run", out)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_full_disk_in_our_own_stages_is_reported_in_one_line(tmp_path):
    for language in ("de", "en"):
        (tmp_path / f"in.{language}").write_text("a b\n" * 100_000)
    (tmp_path / "train.de").symlink_to("/dev/full")
    done = subprocess.run(
        ["python", "-m", "corpus.split", tmp_path / "in", tmp_path, "de", "en", "--every", "23"],
        env=environment(PYTHONPATH=SCRIPTS, PREPARE_SCRIPT="prepare.sh"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("prepare.sh: ") and len(done.stderr.splitlines()) == 1
    assert "disk full" in done.stderr and "--out" in done.stderr


def test_a_full_disk_in_a_tool_is_reported_in_one_line(prepared, tmp_path):
    """fairseq-preprocess as it ends when the disk is full; everything before it is kept."""
    path = stub(tmp_path, "echo 'OSError: [Errno 28] No space left on device'", "echo at exit", "exit 1")
    archive, whole, _ = prepared
    done = prepare(tmp_path / "out", *small, IWSLT14_ARCHIVE=archive, PATH=path)
    assert_refused(done, tmp_path / "out", "disk full", left=("settings", *RESULTS[:-1]))
    for result in RESULTS[:-1]:
        assert content(tmp_path / "out", result) == content(whole, result)


def test_killed_runs_leave_nothing_finished_and_the_next_completes(prepared, tmp_path):
    archive, whole, _ = prepared
    out, path = tmp_path / "out", stub(tmp_path, SLOW_PREPROCESS)
    for result in ("raw", "tok", "subwords", "data-bin"):
        kill_while(out, result, archive, path)
        finished = [result for result in RESULTS if (out / result).exists()]
        assert finished == list(RESULTS[: RESULTS.index(result)])
    done = prepare(out, *small, IWSLT14_ARCHIVE=archive, PATH=path)
    assert done.returncode == 0, done.stderr
    assert not list(out.glob("*.partial"))
    assert (out / "data-bin").exists()
    for result in RESULTS[:-1]:
        assert content(out, result) == content(whole, result)


SLOW_PREPROCESS = (
    'while [ "$1" != --destdir ]; do shift; done; mkdir "$2"; sleep 0.5; echo a 1 >"$2/dict.$language.txt"'
)


def kill_while(out, result, archive, path):
    """Start the script and kill all of it as soon as this stage has begun to write."""
    process = subprocess.Popen(
        ["bash", SCRIPTS / SCRIPT, "--out", out, "--jobs", "1", *small],
        env=environment(IWSLT14_ARCHIVE=archive, PATH=path),
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + PATIENCE
    while not (out / f"{result}.partial").exists():
        assert process.poll() is None and time.monotonic() < deadline, f"never came to {result}"
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    with open(out / ".lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # free when the last child is gone


# --- downloads -------------------------------------------------------------------------------------------------------


def download(server, tmp_path, name="xx-en.tgz", **extra):
    """`python -m corpus.download`, as the scripts call it"""
    no_proxy = {"no_proxy": "*", "NO_PROXY": "*"}
    address = server if isinstance(server, str) else server.address
    return subprocess.run(
        ["python", "-m", "corpus.download", name, tmp_path / "file", "--keep", tmp_path / "orig" / "part"],
        env=environment(
            PYTHONPATH=SCRIPTS, CORPUS_MIRROR=address, CORPUS_SECONDS_BETWEEN_TRIES="0", **no_proxy, **extra
        ),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


ARCHIVE = b"\x1f\x8b" + bytes(range(256)) * 40  # what a download looks at is the first two bytes


def test_the_whole_script_from_a_server(tmp_path):
    files = in_language("nl")
    archive = make_archive(tmp_path / "s", files, "nl-en.tgz")
    options = [*small, "--source", "nl"]
    with serving(archive.read_bytes()) as server:
        proxies = {"no_proxy": "*", "NO_PROXY": "*", "PATH": stub(tmp_path)}
        done = prepare(tmp_path / "out", *options, CORPUS_MIRROR=server.address, **proxies)
    assert done.returncode == 0, done.stderr
    assert server.paths == ["/nl-en.tgz"]
    assert (tmp_path / "out" / "orig" / "nl-en.tgz").read_bytes() == archive.read_bytes()
    assert prepare(tmp_path / "own", *options, IWSLT14_ARCHIVE=archive, PATH=proxies["PATH"]).returncode == 0
    assert content(tmp_path / "out", "subwords") == content(tmp_path / "own", "subwords")


def test_an_archive_that_is_not_the_genuine_one_is_not_taken(prepared, tmp_path):
    """The checksum is git's blob id. A copy of the user's own is taken, and a note says so."""
    archive, _, done = prepared
    genuine = "git:aa8c3f40f8836f1d43701448f94fe7e230082b4c"
    assert f"{archive} is not the published archive ({genuine})" in done.stdout
    with serving(archive.read_bytes()) as server:
        done = prepare(tmp_path / "out", *small, CORPUS_MIRROR=server.address, no_proxy="*", NO_PROXY="*")
    assert_refused(done, tmp_path / "out", "checksum wrong", genuine, "IWSLT14_ARCHIVE")
    assert not list((tmp_path / "out" / "orig").iterdir())


def test_a_broken_connection_goes_on_where_it_ended(tmp_path):
    with serving(ARCHIVE) as server:
        server.cut = 3000
        done = download(server, tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "file").read_bytes() == ARCHIVE
    assert server.asked == [None, "bytes=3000-", "bytes=6000-", "bytes=9000-"]
    assert not list((tmp_path / "orig").iterdir())


def test_the_next_run_goes_on_where_the_last_gave_up(tmp_path):
    with serving(ARCHIVE) as server:
        server.cut = 1000
        done = download(server, tmp_path)
        assert_refused(done, tmp_path, "5000 bytes are kept", tmp_path / "orig" / "part", "run the same again")
        server.cut = None
        done = download(server, tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "file").read_bytes() == ARCHIVE
    assert server.asked[-1] == "bytes=5000-"


def test_another_version_on_the_server_is_fetched_from_its_beginning(tmp_path):
    with serving(ARCHIVE) as server:
        server.cut = 1000
        download(server, tmp_path)
        server.cut, server.version, server.data = None, '"2"', ARCHIVE[:2] + b"other" * 2000
        done = download(server, tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "file").read_bytes() == server.data


def test_a_part_that_was_whole_already_is_taken(tmp_path):
    (tmp_path / "orig").mkdir()
    (tmp_path / "orig" / "part").write_bytes(ARCHIVE)
    (tmp_path / "orig" / "part.version").write_text('"1"')
    with serving(ARCHIVE) as server:
        done = download(server, tmp_path)
    assert done.returncode == 0, done.stderr
    assert server.asked == [f"bytes={len(ARCHIVE)}-"]
    assert (tmp_path / "file").read_bytes() == ARCHIVE


def test_a_wrong_checksum_is_refused_and_thrown_away(tmp_path):
    with serving(ARCHIVE) as server:
        done = download(server, tmp_path, "test-full.tgz")
    assert_refused(done, tmp_path, "checksum wrong", "md5:a8cd784e006feb32ac6f3d9ec7eb389a", "sacreBLEU", "WMT_ORIG")
    assert not list((tmp_path / "orig").iterdir())


def test_a_page_instead_of_an_archive_is_refused(tmp_path):
    with serving(b"<html>please confirm</html>") as server:
        done = download(server, tmp_path)
    assert_refused(done, tmp_path, "no gzip archive", "browser", "WMT_ORIG")


def test_a_file_that_is_not_there_is_reported_at_once(tmp_path):
    with serving(b"gone") as server:
        server.status = 404
        done = download(server, tmp_path)
    assert_refused(done, tmp_path, "404", "IWSLT14_ARCHIVE")
    assert len(server.asked) == 1


def test_more_bytes_than_the_disk_has_are_refused_before_they_come(tmp_path):
    with serving(ARCHIVE) as server:
        server.announced = 10**18
        done = download(server, tmp_path)
    assert_refused(done, tmp_path, "disk full", str(10**18), "--out")
    assert not (tmp_path / "orig" / "part").exists()


def test_a_refused_connection_is_reported_with_the_way_out(tmp_path):
    with serving(b"") as server:
        pass  # its port is free again
    done = prepare(tmp_path / "out", CORPUS_MIRROR=server.address, no_proxy="*", NO_PROXY="*")
    words = ("/de-en.tgz", "cannot download", "refused", "try again with a network", "IWSLT14_ARCHIVE")
    assert_refused(done, tmp_path / "out", *words)
