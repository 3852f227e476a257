"""The generated corpus of the quick start: right German and English, held-out values, same seed same bytes."""

import importlib.util
import re
import sys
import unicodedata
from datetime import date
from functools import cache
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "quickstart" / "generate.py"


def load_generator():
    spec = importlib.util.spec_from_file_location("quickstart_generate", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return module


generate = load_generator()
SETS = ("train", "valid", "test")


@pytest.fixture(scope="module")
def corpus():
    return generate.generate(pairs=2000, seed=1)


# ---------------------------------------------------------------- the language


@pytest.mark.parametrize(
    "number, german, english",
    [
        (12305, "zwölftausenddreihundertfünf", "twelve thousand three hundred and five"),
        (999999, "neunhundertneunundneunzigtausendneunhundertneunundneunzig",
         "nine hundred and ninety-nine thousand nine hundred and ninety-nine"),
        (1016, "eintausendsechzehn", "one thousand and sixteen"),
        (101017, "einhunderteintausendsiebzehn", "one hundred and one thousand and seventeen"),
        (21030, "einundzwanzigtausenddreißig", "twenty-one thousand and thirty"),
    ],
)  # fmt: skip
def test_numbers_in_words(number, german, english):
    assert generate.number_in_words(number) == (german, english)


@given(st.integers(1, 999), st.integers(1, 999))
def test_thousands_are_composed(thousands, rest):
    """German writes number, tausend, number in one word; of "eins" only the last keeps its s."""
    number = 1000 * thousands + rest
    front = generate.words(thousands, "de")
    front = front.removesuffix("s") if thousands % 100 == 1 else front
    assert generate.words(number, "de") == front + "tausend" + generate.words(rest, "de")
    joint = " thousand and " if rest < 100 else " thousand "
    assert generate.words(number, "en") == generate.words(thousands, "en") + joint + generate.words(rest, "en")


@pytest.mark.parametrize(
    "rank, german, english",
    [
        (3, "dritte", "third"),
        (7, "siebte", "seventh"),
        (101, "einhunderterste", "one hundred and first"),
        (1112, "eintausendeinhundertzwölfte", "one thousand one hundred and twelfth"),
        (5020, "fünftausendzwanzigste", "five thousand and twentieth"),
    ],
)
def test_ranks_in_words(rank, german, english):
    assert generate.rank_in_words(rank) == (german, english)


@pytest.mark.parametrize(
    "price, german, english",
    [
        ((1205, "EUR"), "zwölf Euro und fünf Cent", "twelve euros and five cents"),
        ((110200, "EUR"), "eintausendeinhundertzwei Euro", "one thousand one hundred and two euros"),
        ((2099, "USD"), "zwanzig Dollar und neunundneunzig Cent", "twenty dollars and ninety-nine cents"),
        ((350, "GBP"), "drei Pfund und fünfzig Pence", "three pounds sterling and fifty pence"),
    ],
)
def test_prices_in_words(price, german, english):
    assert generate.price_in_words(price) == (german, english)


@pytest.mark.parametrize(
    "day, german, english",
    [
        (date(1982, 3, 3), "dritten März neunzehnhundertzweiundachtzig", "the third of March nineteen eighty-two"),
        (date(1905, 12, 21), "einundzwanzigsten Dezember neunzehnhundertfünf",
         "the twenty-first of December nineteen oh five"),
        (date(1800, 1, 1), "ersten Januar achtzehnhundert", "the first of January eighteen hundred"),
        (date(2007, 5, 8), "achten Mai zweitausendsieben", "the eighth of May two thousand and seven"),
        (date(2016, 10, 30), "dreißigsten Oktober zweitausendsechzehn", "the thirtieth of October twenty sixteen"),
    ],
)  # fmt: skip
def test_dates_in_words(day, german, english):
    assert generate.date_in_words(day) == (german, english)


@pytest.mark.parametrize(
    "clock, german, english",
    [
        ("13:00", "ein Uhr nachmittags", "one o'clock in the afternoon"),
        ("20:00", "acht Uhr abends", "eight o'clock in the evening"),
        ("15:05", "fünf nach drei nachmittags", "five past three in the afternoon"),
        ("15:15", "Viertel nach drei nachmittags", "a quarter past three in the afternoon"),
        ("15:20", "zwanzig nach drei nachmittags", "twenty past three in the afternoon"),
        ("15:25", "fünf vor halb vier nachmittags", "twenty-five past three in the afternoon"),
        ("15:27", "siebenundzwanzig Minuten nach drei nachmittags",
         "twenty-seven minutes past three in the afternoon"),
        ("15:30", "halb vier nachmittags", "half past three in the afternoon"),
        ("15:35", "fünf nach halb vier nachmittags", "twenty-five to four in the afternoon"),
        ("15:45", "Viertel vor vier nachmittags", "a quarter to four in the afternoon"),
        ("13:01", "eine Minute nach eins nachmittags", "one minute past one in the afternoon"),
        ("11:59", "eine Minute vor zwölf vormittags", "one minute to twelve in the morning"),
        ("06:50", "zehn vor sieben morgens", "ten to seven in the morning"),
    ],
)  # fmt: skip
def test_times_in_words(clock, german, english):
    hour, minute = map(int, clock.split(":"))
    assert generate.time_in_words(60 * hour + minute) == (german, english)


def test_every_time_is_said_in_its_own_way():
    minutes = [60 * hour + minute for hour in range(5, 23) for minute in range(60) if hour != 12]
    spoken = [generate.time_in_words(value) for value in minutes]
    assert len({german for german, _ in spoken}) == len({english for _, english in spoken}) == len(minutes)


# ---------------------------------------------------------------- the sets


@cache
def patterns(kind):
    """What matches the German sentences of a kind, with its value; knows only the frames."""
    found = []
    for german, _ in generate.KINDS[kind].frames:
        pattern = re.escape(german).replace(r"\{\}", "(?P<value>.+)")
        for name, choices in generate.FILLERS.items():
            anyone = "|".join(re.escape(choice[0]) for choice in choices)
            pattern = pattern.replace(rf"\{{{name}\}}", f"(?:{anyone})")
        found.append(re.compile(pattern))
    return found


def read_back(kind, sentence):
    """The value in a German sentence of this kind, None for other sentences."""
    found = filter(None, (pattern.fullmatch(sentence) for pattern in patterns(kind)))
    return next((match["value"] for match in found), None)


def test_values_of_one_set_are_in_no_other(corpus):
    for kind in generate.KINDS:
        values = {name: {read_back(kind, german) for german, _ in corpus[name]} - {None} for name in SETS}
        assert all(values.values())
        for one, other in combinations(SETS, 2):
            assert values[one].isdisjoint(values[other])


def test_every_sentence_is_of_one_kind_and_kinds_take_turns(corpus):
    for pairs in corpus.values():
        for position, (german, _) in enumerate(pairs):
            kinds = [kind for kind in generate.KINDS if read_back(kind, german)]
            assert kinds == [list(generate.KINDS)[position % len(generate.KINDS)]]


def test_sizes_and_no_repetition(corpus):
    assert {name: len(pairs) for name, pairs in corpus.items()} == {"train": 1850, "valid": 50, "test": 100}
    sources = [german for pairs in corpus.values() for german, _ in pairs]
    assert len(set(sources)) == len(sources)


def test_sentences_are_plain_words(corpus):
    for pair in (pair for pairs in corpus.values() for pair in pairs):
        for sentence in pair:
            assert re.fullmatch(r"[^\W\d_]+(?:['-][a-z]+)*(?: [^\W\d_]+(?:['-][a-z]+)*)*", sentence)
            assert unicodedata.is_normalized("NFC", sentence)


# ---------------------------------------------------------------- the command


def content(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_another_seed_gives_other_text():
    one, other = generate.generate(300, seed=7), generate.generate(300, seed=8)
    for name in SETS:
        assert len(set(one[name]) & set(other[name])) < len(one[name]) / 10


def test_files_hold_the_pairs_line_by_line(tmp_path):
    assert generate.main([str(tmp_path), "--pairs", "100", "--seed", "3"]) == 0
    for name, pairs in generate.generate(100, seed=3).items():
        for column, language in enumerate(("de", "en")):
            lines = (tmp_path / f"{name}.{language}").read_text(encoding="utf-8").splitlines()
            assert lines == [pair[column] for pair in pairs]


def test_says_how_many_pairs_and_how_fast(tmp_path, capsys):
    generate.main([str(tmp_path), "--pairs", "100"])
    said = capsys.readouterr().out
    assert re.fullmatch(r"93 train, 2 valid, 5 test pairs, seed 1, \d+ pairs a second\n", said)


def test_refuses_to_overwrite(tmp_path, capsys):
    (tmp_path / "valid.en").write_text("precious")
    with pytest.raises(SystemExit) as stopped:
        generate.main([str(tmp_path), "--pairs", "100"])
    said = capsys.readouterr().err
    assert stopped.value.code == 2 and "--force" in said and "valid.en" in said
    assert content(tmp_path) == {"valid.en": b"precious"}
    assert generate.main([str(tmp_path), "--pairs", "100", "--force"]) == 0
    assert content(tmp_path)["valid.en"] != b"precious"


@pytest.mark.parametrize(
    "arguments, part",
    [
        (["--pairs", "99"], "--pairs 99: must be from 100 to 50000"),
        (["--pairs", "50001"], "--pairs 50001"),
        (["--pairs", "many"], "--pairs"),
    ],
)
def test_wrong_use_exits_2_and_writes_nothing(tmp_path, capsys, arguments, part):
    with pytest.raises(SystemExit) as stopped:
        generate.main([str(tmp_path / "out"), *arguments])
    assert stopped.value.code == 2
    assert part in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_out_that_is_a_file_is_wrong_use(tmp_path, capsys):
    (tmp_path / "file").write_text("precious")
    assert generate.main([str(tmp_path / "file"), "--pairs", "100"]) == 2
    assert str(tmp_path / "file") in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "precious"


def test_interrupted_writing_leaves_no_file(tmp_path):
    broken = generate.generate(100, seed=1)
    broken["test"][-1] = ("\ud800", "not text")  # the last file but one cannot be written
    with pytest.raises(UnicodeEncodeError):
        generate.write(broken, tmp_path)
    assert content(tmp_path) == {}
