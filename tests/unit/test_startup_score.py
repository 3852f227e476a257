"""`fairseq-score` in process: what sacrebleu itself says, or one line and exit status 2."""

import io
import sys

import pytest
import sacrebleu
from fairseq_cli import score

SYSTEM = ["the cat sat on the mat .", "", "A small House , in the woods", "it is three o'clock"]
REFERENCE = ["the cat sat on a mat .", "nothing", "a small house in the woods", "it is three o'clock"]


@pytest.fixture
def texts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DSP_DEBUG", raising=False)
    (tmp_path / "sys").write_text("".join(f"{line}\n" for line in SYSTEM))
    (tmp_path / "ref").write_text("".join(f"{line}\n" for line in REFERENCE))
    return tmp_path


def run(monkeypatch, *options, stdin=b""):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
    monkeypatch.setattr(sys, "argv", ["fairseq-score", *options])
    score.cli_main()


def scores(monkeypatch, capsys, *options, **keywords):
    run(monkeypatch, *options, **keywords)
    return capsys.readouterr().out.splitlines()[1:]  # the first line repeats the options


def refused(monkeypatch, capsys, *options, **keywords):
    with pytest.raises(SystemExit) as exit:
        run(monkeypatch, *options, **keywords)
    assert exit.value.code == 2
    return [line.removeprefix("fairseq-score: error: ") for line in capsys.readouterr().err.splitlines()]


def bleu_of(line):
    return float(line.partition(" = ")[2].split()[0].rstrip(","))


@pytest.mark.parametrize("options, lowercase", [([], False), (["--ignore-case"], True)])
def test_sacrebleu(texts, monkeypatch, capsys, options, lowercase):
    expected = sacrebleu.corpus_bleu(SYSTEM, [REFERENCE], lowercase=lowercase)
    assert scores(monkeypatch, capsys, "--sacrebleu", "-s", "sys", "-r", "ref", *options) == [expected.format()]
    given = (texts / "sys").read_bytes()
    assert scores(monkeypatch, capsys, "--sacrebleu", "-r", "ref", *options, stdin=given) == [expected.format()]


@pytest.mark.parametrize("order", [2, 4])
def test_sacrebleu_of_an_order(texts, monkeypatch, capsys, order):
    expected = sacrebleu.metrics.BLEU(max_ngram_order=order).corpus_score(SYSTEM, [REFERENCE])
    options = ["--sacrebleu", "-s", "sys", "-r", "ref", "--order", str(order)]
    assert scores(monkeypatch, capsys, *options) == [expected.format()]


def test_bleu_of_words(texts, monkeypatch, capsys):
    [line] = scores(monkeypatch, capsys, "-s", "sys", "-r", "ref")
    expected = sacrebleu.corpus_bleu(SYSTEM, [REFERENCE], tokenize="none", force=True)
    assert bleu_of(line) == pytest.approx(expected.score, abs=0.006)


def test_bleu_of_sentences(texts, monkeypatch, capsys):
    """Both add 1 to the counts of all n-grams but single words."""
    lines = scores(monkeypatch, capsys, "--sentence-bleu", "-s", "sys", "-r", "ref")
    assert [line.split()[0] for line in lines] == ["0", "1", "2", "3"]
    for line, *pair in zip(lines, SYSTEM, REFERENCE, strict=True):
        options = {"smooth_method": "add-k", "smooth_value": 1, "tokenize": "none", "use_effective_order": False}
        expected = sacrebleu.sentence_bleu(pair[0], [pair[1]], **options)
        assert bleu_of(line) == pytest.approx(expected.score, abs=0.006)


@pytest.mark.parametrize("how", [[], ["--sacrebleu"], ["--sentence-bleu"]])
@pytest.mark.parametrize(
    "name, content, reported",
    [
        ("sys", b"one\n", "sys has 1 line, ref has 4"),
        ("sys", b"", "sys has 0 lines, ref has 4"),
        ("ref", b"one\n\n\n\n\n", "sys has 4 lines, ref has 5"),
        ("ref", b"a\nb\nf\xfcr\nd\n", "ref: line 3 is not UTF-8 (byte 0xfc)"),
    ],
)
def test_files_that_do_not_belong_together(texts, monkeypatch, capsys, how, name, content, reported):
    (texts / name).write_bytes(content)
    [line] = refused(monkeypatch, capsys, *how, "-s", "sys", "-r", "ref")
    assert line.startswith(reported)


@pytest.mark.parametrize("how", [[], ["--sacrebleu"], ["--sentence-bleu"]])
def test_nothing_to_score(texts, monkeypatch, capsys, how):
    for name in ("sys", "ref"):
        (texts / name).write_bytes(b"")
    [line] = refused(monkeypatch, capsys, *how, "-s", "sys", "-r", "ref")
    assert "empty: nothing to score" in line


@pytest.mark.parametrize("how", [[], ["--sacrebleu"], ["--sentence-bleu"]])
@pytest.mark.parametrize("name", ["sys", "ref"])
def test_lines_without_a_word_score_nothing(texts, monkeypatch, capsys, how, name):
    (texts / name).write_text("\n" * 4)
    for line in scores(monkeypatch, capsys, *how, "-s", "sys", "-r", "ref"):
        assert bleu_of(line) == 0


def test_a_carriage_return_ends_no_line(texts, monkeypatch, capsys):
    (texts / "sys").write_bytes("".join(f"{line}\r\n" for line in SYSTEM).encode())
    (texts / "ref").write_bytes("".join(f"{line}\n" for line in REFERENCE).replace("on a mat", "on a\rmat").encode())
    expected = sacrebleu.corpus_bleu(SYSTEM, [REFERENCE], tokenize="none", force=True)
    [line] = scores(monkeypatch, capsys, "-s", "sys", "-r", "ref")
    assert bleu_of(line) == pytest.approx(expected.score, abs=0.006)


def test_all_problems_at_once(texts, monkeypatch, capsys):
    lines = refused(monkeypatch, capsys, "-s", "sys", "-r", "ref", "--order", "5", "--sacrebleu", "--sentence-bleu")
    assert [line.split()[0] for line in lines] == ["--order", "--sacrebleu"]
    lines = refused(monkeypatch, capsys, "-s", "none", "-r", ".")
    assert lines == ["none: no such file or directory", ".: is a directory"]


def test_the_standard_input_is_called_so(texts, monkeypatch, capsys):
    [line] = refused(monkeypatch, capsys, "-r", "ref", stdin=b"one\n")
    assert line.startswith("standard input has 1 line, ref has 4:")
    [line] = refused(monkeypatch, capsys, "-r", "ref", stdin=b"\xff\n")
    assert line.startswith("standard input: line 1 is not UTF-8")
