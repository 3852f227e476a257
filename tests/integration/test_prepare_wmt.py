"""scripts/prepare-wmt14en2de.sh and prepare-wmt16ende.sh as a user runs them, on small archives of the same form."""

import pytest
from corpus_archives import (
    assert_refused,
    content,
    lines,
    prepare,
    segments,
    sentences,
    sides,
    stub,
    write_archive,
)
from file_server import serving

WMT14, WMT16 = "prepare-wmt14en2de.sh", "prepare-wmt16ende.sh"
EUROPARL, CRAWL, NEWS, TEST_PAIRS = 150, 60, 40, 5
small = ("--subwords", "120")

# one pair per rule of normalize-punctuation.perl, remove-non-printing-char.perl and tokenizer.perl -a
RULES = (("„Ja“ – well-known.", "“Yes” – well-known."), ("weich\u00adtrenn", "soft\u00adhyphen"))


def put(folder, name, members):
    folder.mkdir(exist_ok=True)
    return write_archive(folder / name, members)


def parallel(prefix, pairs):
    return {f"{prefix}.{language}": text for language, text in sides(pairs).items()}


def training_pairs():
    return [*RULES, *sentences(EUROPARL, 1)], list(sentences(CRAWL, 2)), list(sentences(NEWS, 3))


def make_source(folder, news="v12"):
    """The archives of both official recipes, each with the folders and names it has in the release."""
    europarl, crawl, commentary = training_pairs()
    inside = "training-parallel-nc-v11" if news == "v11" else "training"
    put(folder, "training-parallel-europarl-v7.tgz", parallel("training/europarl-v7.de-en", europarl))
    put(folder, "training-parallel-commoncrawl.tgz", parallel("commoncrawl.de-en", crawl))
    news_pairs = parallel(f"{inside}/news-commentary-{news}.de-en", commentary)
    put(folder, f"training-parallel-nc-{news}.tgz", news_pairs)
    put(folder, "dev.tgz", parallel("dev/newstest2013", [("Prüfung", "validation-set")] * 4))
    test = sides([("Er hat’s – well-known", "it’s – well-known"), *sentences(TEST_PAIRS - 1, 5)])
    names = {f"test-full/newstest2014-deen-{kind}.{language}.sgm": segments(text)
             for kind in ("src", "ref") for language, text in test.items()}  # fmt: skip
    put(folder, "test-full.tgz", names)
    return folder


@pytest.fixture(scope="module")
def wmt14(tmp_path_factory):
    """source folder, result folder and what the run said"""
    folder = tmp_path_factory.mktemp("wmt14")
    source = make_source(folder / "source")
    done = prepare(WMT14, folder / "out", *small, WMT_ORIG=source)
    assert done.returncode == 0, done.stdout + done.stderr
    return source, folder / "out", done


def test_wmt14_archives_become_binarised_data(wmt14):
    _, out, done = wmt14
    total = len(RULES) + EUROPARL + CRAWL + NEWS
    assert done.stderr == ""
    assert [len(lines(out / "split" / f"{name}.en")) for name in ("train", "valid", "test")] == [
        total - total // 100,
        total // 100,
        TEST_PAIRS,
    ]
    assert (out / "data-bin" / "test.en-de.de.bin").stat().st_size > 0
    assert (out / "data-bin" / "dict.de.txt").read_bytes() == (out / "data-bin" / "dict.en.txt").read_bytes()
    assert f"training pairs, {total // 100} for validation, {TEST_PAIRS} for test" in done.stdout


def test_wmt14_corpora_follow_one_another_in_the_customary_order(wmt14):
    _, out, _ = wmt14
    pairs = [pair for corpus in training_pairs() for pair in corpus]
    assert lines(out / "raw" / "train.de") == [pair[0] for pair in pairs]
    assert lines(out / "raw" / "train.en") == [pair[1] for pair in pairs]


def test_wmt14_training_text_is_normalised_and_hyphens_are_split(wmt14):
    _, out, _ = wmt14
    english, german = (lines(out / "tok" / f"train.{language}") for language in ("en", "de"))
    assert english[:2] == ["&quot; Yes &quot; - well @-@ known .", "soft hyphen"]
    assert german[:2] == ["&quot; Ja &quot; - well @-@ known .", "weich trenn"]


def test_wmt14_test_text_is_not_normalised_but_its_apostrophes_are_plain(wmt14):
    _, out, _ = wmt14
    assert lines(out / "tok" / "test.en")[0] == "it &apos;s – well @-@ known"


def test_wmt14_every_hundredth_pair_is_for_validation_before_the_filter(wmt14):
    _, out, _ = wmt14
    assert lines(out / "split" / "valid.en") == lines(out / "tok" / "train.en")[99::100]


def test_wmt14_filter_counts_subwords_and_spares_the_test(tmp_path):
    source = make_source(tmp_path / "source")
    unequal, too_long = ("eins", "one two"), ("a " * 251, "b " * 251)
    long_test = "b " * 300
    put(source, "training-parallel-europarl-v7.tgz",
        parallel("training/europarl-v7.de-en", [unequal, too_long, *training_pairs()[0]]))  # fmt: skip
    test = sides([(long_test, "kurz")])
    put(source, "test-full.tgz", {
        "test-full/newstest2014-deen-src.en.sgm": segments(test["en"]),
        "test-full/newstest2014-deen-ref.de.sgm": segments(test["de"]),
    })  # fmt: skip
    out = tmp_path / "out"
    done = prepare(WMT14, out, *small, WMT_ORIG=source, PATH=stub(tmp_path))
    assert done.returncode == 0, done.stderr
    before, after = lines(out / "split" / "train.de"), lines(out / "subwords" / "train.de")
    assert before[1] == ("a " * 251).strip() and "a a a" not in " ".join(after)
    assert len(after) <= len(before) - 1
    assert len(lines(out / "subwords" / "test.de")) == 1
    for source_line, target_line in zip(after, lines(out / "subwords" / "train.en"), strict=True):
        few, many = sorted((len(source_line.split()), len(target_line.split())))
        assert many / few <= 1.5


def test_wmt14_direction_turns_source_and_reference(wmt14, tmp_path):
    source, _, _ = wmt14
    options = ("--source", "de", "--target", "en")
    done = prepare(WMT14, tmp_path / "out", *small, *options, WMT_ORIG=source, PATH=stub(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "--source-lang de --target-lang en" in (tmp_path / "arguments").read_text()
    assert "newstest2014-deen-src.de.sgm" in (tmp_path / "out" / "logs" / "raw.log").read_text()


def test_icml17_takes_news_commentary_v9(tmp_path):
    source = make_source(tmp_path / "source", "v9")
    done = prepare(WMT14, tmp_path / "out", *small, "--icml17", WMT_ORIG=source, PATH=stub(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "news-commentary-v9.de-en" in (tmp_path / "out" / "logs" / "raw.log").read_text()


def test_a_copy_that_is_not_the_published_archive_is_noted(wmt14):
    _, _, done = wmt14
    assert "training-parallel-europarl-v7.tgz is not the published archive (sha256:0224c7c7" in done.stdout


def test_a_missing_archive_is_refused(tmp_path):
    source = make_source(tmp_path / "source")
    (source / "training-parallel-commoncrawl.tgz").unlink()
    done = prepare(WMT14, tmp_path / "out", WMT_ORIG=source)
    assert_refused(done, tmp_path / "out", source / "training-parallel-commoncrawl.tgz", "no such file")


def test_a_missing_folder_is_refused(tmp_path):
    done = prepare(WMT14, tmp_path / "out", WMT_ORIG=tmp_path / "nowhere")
    assert_refused(done, tmp_path / "out", "WMT_ORIG", tmp_path / "nowhere", "not a folder")


def test_the_corpus_whose_languages_differ_in_length_is_named(tmp_path):
    source = make_source(tmp_path / "source")
    pairs = parallel("commoncrawl.de-en", sentences(9, 1))
    pairs["commoncrawl.de-en.en"] += "more\n"
    put(source, "training-parallel-commoncrawl.tgz", pairs)
    done = prepare(WMT14, tmp_path / "out", WMT_ORIG=source)
    assert_refused(done, tmp_path / "out", "9 lines in commoncrawl.de-en.de", "10 lines in commoncrawl.de-en.en")


def test_line_separators_within_a_line_do_not_move_the_other_side(tmp_path):
    source = make_source(tmp_path / "source")
    odd = [("ein\u2028zwei\x85drei\rvier", "one two three four")]
    put(source, "training-parallel-commoncrawl.tgz", parallel("commoncrawl.de-en", odd))
    done = prepare(WMT14, tmp_path / "out", *small, WMT_ORIG=source, PATH=stub(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "ein zwei drei@@ " not in "".join(lines(tmp_path / "out" / "tok" / "train.de"))
    assert lines(tmp_path / "out" / "tok" / "train.de")[len(RULES) + EUROPARL].split()[0] == "ein"
    tokenised = [len(lines(tmp_path / "out" / "tok" / f"train.{side}")) for side in ("de", "en")]
    assert tokenised == [len(RULES) + EUROPARL + 1 + NEWS] * 2


@pytest.mark.parametrize(
    "script, options, others",
    [
        (WMT14, ["--target", "xx"], "cs de"),
        (WMT14, ["--source", "fr", "--target", "en"], "cs de"),
        (WMT14, ["--target", "ru", "--icml17"], "cs de fr"),
        (WMT16, ["--target", "fr", "--official"], "cs de"),
        ("prepare-iwslt14.sh", ["--source", "xx"], "ar de es"),
        ("prepare-iwslt14.sh", ["--source", "en", "--target", "ja"], "ar de es"),
    ],
)
def test_languages_of_no_release_are_refused_before_anything_is_made_or_fetched(tmp_path, script, options, others):
    with serving(b"") as server:
        done = prepare(script, tmp_path / "out", *options, CORPUS_MIRROR=server.address, no_proxy="*", NO_PROXY="*")
    assert_refused(done, tmp_path / "out", *options[:2], f"pairs English with {others}")
    assert server.paths == [] and not (tmp_path / "out").exists()


def test_a_pair_that_the_archives_do_not_have_is_refused(tmp_path):
    done = prepare(WMT14, tmp_path / "out", "--target", "cs", WMT_ORIG=make_source(tmp_path / "source"))
    assert_refused(done, tmp_path / "out", "europarl-v7.cs-en", "--source and --target")


# --- WMT16 -----------------------------------------------------------------------------------------------------------


def make_google(folder):
    members = {}
    for name, count in (("train.tok.clean", 50), ("newstest2013.tok", 4), ("newstest2014.tok", 3)):
        members |= parallel(f"./{name}.bpe.32000", [("Hund@@ e bellen", "dogs bark")] * count)
    put(folder, "wmt16_en_de.tar.gz", members | {"vocab.bpe.32000": "not wanted"})
    return folder


def test_wmt16_takes_the_subwords_of_googles_archive_as_they_are(tmp_path):
    done = prepare(WMT16, tmp_path / "out", WMT_ORIG=make_google(tmp_path / "source"), PATH=stub(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "50 training pairs, 4 for validation, 3 for test" in done.stdout
    assert set(lines(tmp_path / "out" / "raw" / "train.de")) == {"Hund@@ e bellen"}
    assert "--nwordssrc 32768 --nwordstgt 32768" in (tmp_path / "arguments").read_text()
    assert not (tmp_path / "out" / "tok").exists()


def test_wmt16_from_the_official_archives(tmp_path):
    source = make_source(tmp_path / "source", "v11")
    done = prepare(WMT16, tmp_path / "out", *small, "--official", WMT_ORIG=source, PATH=stub(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    out, total = tmp_path / "out", len(RULES) + EUROPARL + CRAWL + NEWS
    assert [len(lines(out / "split" / f"{name}.de")) for name in ("train", "valid", "test")] == [total, 4, TEST_PAIRS]
    assert lines(out / "tok" / "valid.en")[0] == "validation-set"  # no -a
    assert lines(out / "tok" / "train.en")[0] == "“ Yes ” – well-known ."  # not normalised


@pytest.mark.parametrize("options", [["--sentencepiece"], ["--subwords", "100"], ["--source", "en", "--target", "cs"]])
def test_what_googles_archive_cannot_give_is_refused(tmp_path, options):
    assert_refused(prepare(WMT16, tmp_path / "out", *options), tmp_path / "out", options[-1], "--official")


def test_results_of_the_two_recipes_are_not_mixed(tmp_path):
    out = tmp_path / "out"
    assert prepare(WMT16, out, WMT_ORIG=make_google(tmp_path / "s"), PATH=stub(tmp_path)).returncode == 0
    before = content(out)
    done = prepare(WMT16, out, "--official", WMT_ORIG=tmp_path / "s")
    assert done.returncode == 2 and "other settings" in done.stderr
    assert content(out) == before
