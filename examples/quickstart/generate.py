#!/usr/bin/env python3
"""Generate a German-English corpus of numbers, ranks, prices, dates and times written out in words.

    python generate.py OUT --pairs 20000 --seed 1

writes OUT/{train,valid,test}.{de,en}: UTF-8, one sentence a line, words separated by one space, no
punctuation, true-cased (no capital at the start of a sentence unless the word has one everywhere).
The number words come from num2words. The same seed gives the same bytes; a value (a number, a date,
...) that occurs in one of the three sets occurs in neither of the others, so the test set asks for
values that were never seen in training.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from num2words import num2words

LANGUAGES = ("de", "en")
SHARES = {"train": 0.925, "valid": 0.025, "test": 0.05}  # of the pairs, and of the values
FEWEST_PAIRS, MOST_PAIRS = 100, 50_000  # fewer: empty sets; more: too few held-out times

Pair = tuple[str, str]  # German, English


# ---------------------------------------------------------------- values in words


@cache
def words(number: int, language: str, to: str = "cardinal") -> str:
    """Spell out an integer with num2words; without commas, and with its slip at 101,000 mended."""
    text = num2words(number, lang=language, to=to)
    if language == "de":
        return text.replace("einstausend", "eintausend")  # num2words: "einhunderteinstausend"
    return text.replace(",", "").replace("oh-", "oh ")  # "one thousand, two"; "nineteen oh-five"


def number_in_words(number: int) -> Pair:
    return words(number, "de"), words(number, "en")


def rank_in_words(rank: int) -> Pair:
    """305 -> ("dreihundertfünfte", "three hundred and fifth"); frames add the German ending."""
    return words(rank, "de", "ordinal"), words(rank, "en", "ordinal")


def price_in_words(price: tuple[int, str]) -> Pair:
    """(1205, "EUR") -> ("zwölf Euro und fünf Cent", "twelve euros and five cents")."""
    cents, currency = price
    german = num2words(cents, lang="de", to="currency", currency=currency)
    english = num2words(cents, lang="en", to="currency", currency=currency, separator=" and")
    english = english.replace(",", "").replace("euro", "euros")  # num2words: "twelve euro"
    return german.split(" und null ")[0], english.split(" and zero ")[0]


def date_in_words(day: date) -> Pair:
    """1982-03-03 -> ("dritten März neunzehnhundert...", "the third of March nineteen ...")."""
    month_de, month_en = MONTHS[day.month - 1]
    day_de, day_en = rank_in_words(day.day)
    return (
        f"{day_de}n {month_de} {words(day.year, 'de', 'year')}",
        f"the {day_en} of {month_en} {words(day.year, 'en', 'year')}",
    )


def time_in_words(minutes: int) -> Pair:
    """Minutes after midnight -> ("halb vier nachmittags", "half past three in the afternoon")."""
    hour, minute = divmod(minutes, 60)
    this = number_in_words((hour - 1) % 12 + 1)
    following = number_in_words(hour % 12 + 1)
    part_de, part_en = day_part(hour)
    german, english = clock_face(minute, this, following)
    return f"{german} {part_de}", f"{english} {part_en}"


def clock_face(minute: int, this: Pair, following: Pair) -> Pair:
    """What people say in `minute` of the hour `this`, in both languages."""
    past = minute <= 30
    hour_de, hour_en = this if past else following
    distance_de, distance_en = number_in_words(minute if past else 60 - minute)
    side_de, side_en = ("nach", "past") if past else ("vor", "to")
    if minute == 0:  # "ein Uhr", not "eins Uhr"
        return f"{'ein' if hour_de == 'eins' else hour_de} Uhr", f"{hour_en} o'clock"
    if minute == 30:  # German names the hour that is half gone
        return f"halb {following[0]}", f"half past {hour_en}"
    if minute in (25, 35):
        side_de = "vor" if past else "nach"
        return f"fünf {side_de} halb {following[0]}", f"twenty-five {side_en} {hour_en}"
    if minute in (15, 45):
        return f"Viertel {side_de} {hour_de}", f"a quarter {side_en} {hour_en}"
    if minute % 5 == 0:
        return f"{distance_de} {side_de} {hour_de}", f"{distance_en} {side_en} {hour_en}"
    if minute in (1, 59):
        return f"eine Minute {side_de} {hour_de}", f"one minute {side_en} {hour_en}"
    return f"{distance_de} Minuten {side_de} {hour_de}", f"{distance_en} minutes {side_en} {hour_en}"


def day_part(hour: int) -> Pair:
    if hour < 12:
        return ("morgens" if hour < 10 else "vormittags"), "in the morning"
    return ("nachmittags", "in the afternoon") if hour < 18 else ("abends", "in the evening")


# ---------------------------------------------------------------- drawing values


def draw_count(random: Random, digits: int) -> int:
    """A number of up to `digits` digits, each length as likely; 1, 101, ... are left out.

    German inflects those ("ein Buch", "hundertein Bücher"), and usage differs.
    """
    while True:
        number = random.randrange(2, 10 ** random.randint(1, digits))
        if number % 100 != 1:
            return number


def draw_price(random: Random) -> tuple[int, str]:
    """A price from two units up, half of them without cents; never one cent ("einen Cent")."""
    cents = random.choice((0, random.randrange(2, 100)))
    return 100 * draw_count(random, 4) + cents, random.choice(("EUR", "USD", "GBP"))


def draw_date(random: Random) -> date:
    first, last = date(1700, 1, 1), date(2020, 12, 31)
    return first + timedelta(days=random.randrange((last - first).days + 1))


def draw_time(random: Random) -> int:
    """A minute of 5:00 to 11:59 or 13:00 to 22:59: hours whose part of the day is beyond dispute."""
    hour = random.choice([hour for hour in range(5, 23) if hour != 12])
    return 60 * hour + random.randrange(60)


# ---------------------------------------------------------------- sentences

MONTHS = (
    ("Januar", "January"),
    ("Februar", "February"),
    ("März", "March"),
    ("April", "April"),
    ("Mai", "May"),
    ("Juni", "June"),
    ("Juli", "July"),
    ("August", "August"),
    ("September", "September"),
    ("Oktober", "October"),
    ("November", "November"),
    ("Dezember", "December"),
)

# Fillers fit every frame that asks for them: things are plural, goods look alike in the nominative
# and the accusative (no masculines), people need no article.
FILLERS: dict[str, tuple[Pair, ...]] = {
    "things": (
        ("Bücher", "books"),
        ("Stühle", "chairs"),
        ("Lampen", "lamps"),
        ("Äpfel", "apples"),
        ("Briefe", "letters"),
        ("Flaschen", "bottles"),
        ("Schrauben", "screws"),
        ("Steine", "stones"),
    ),
    "goods": (
        ("die Uhr", "the watch"),
        ("das Fahrrad", "the bicycle"),
        ("die Lampe", "the lamp"),
        ("das Sofa", "the sofa"),
        ("die Reise", "the trip"),
        ("das Bild", "the picture"),
        ("das Klavier", "the piano"),
        ("die Jacke", "the jacket"),
    ),
    "person": (
        ("Anna", "Anna"),
        ("Peter", "Peter"),
        ("Maria", "Maria"),
        ("Paul", "Paul"),
        ("meine Mutter", "my mother"),
        ("unsere Nachbarin", "our neighbour"),
    ),
    "building": (
        ("die Brücke", "the bridge"),
        ("die Schule", "the school"),
        ("das Museum", "the museum"),
        ("der Bahnhof", "the station"),
        ("das Theater", "the theatre"),
        ("die Bibliothek", "the library"),
    ),
    "vehicle": (
        ("der Zug", "the train"),
        ("der Bus", "the bus"),
        ("die Fähre", "the ferry"),
        ("das Schiff", "the ship"),
    ),
    "event": (
        ("der Film", "the film"),
        ("das Konzert", "the concert"),
        ("die Sitzung", "the meeting"),
        ("der Unterricht", "the lesson"),
        ("das Fest", "the party"),
    ),
}


@dataclass(frozen=True)
class Kind:
    """One kind of value: how to draw one, how to say it, and the sentences that carry it."""

    draw: Callable[[Random], Any]
    in_words: Callable[[Any], Pair]
    frames: tuple[Pair, ...]  # {} is the value, {things} etc. a filler


KINDS: dict[str, Kind] = {
    "number": Kind(
        lambda random: draw_count(random, 6),
        number_in_words,
        (
            ("im Lager liegen {} {things}", "there are {} {things} in the warehouse"),
            ("wir haben {} {things} gezählt", "we counted {} {things}"),
            ("{person} hat {} {things} bestellt", "{person} ordered {} {things}"),
            ("die Stadt hat {} Einwohner", "the town has {} inhabitants"),
            ("auf der Liste stehen {} Namen", "there are {} names on the list"),
            ("{building} wurde von {} Menschen besucht", "{building} was visited by {} people"),
        ),
    ),
    "rank": Kind(
        lambda random: random.randrange(2, 10 ** random.randint(1, 4)),
        rank_in_words,
        (
            ("{person} saß in der {}n Reihe", "{person} sat in the {} row"),
            ("das ist die {} Ausgabe der Zeitung", "this is the {} edition of the newspaper"),
            ("wir begrüßen den {}n Besucher", "we welcome the {} visitor"),
            ("es war unser {}r Versuch", "it was our {} attempt"),
            ("das {} Los hat gewonnen", "the {} ticket won"),
        ),
    ),
    "price": Kind(
        draw_price,
        price_in_words,
        (
            ("{goods} kostet {}", "{goods} costs {}"),
            ("{person} hat {} für {goods} bezahlt", "{person} paid {} for {goods}"),
            ("für {goods} verlangt {person} {}", "{person} is asking {} for {goods}"),
            ("die Rechnung beläuft sich auf {}", "the bill comes to {}"),
            ("wir schulden der Bank noch {}", "we still owe the bank {}"),
            ("mit {} kommt {person} nicht weit", "{person} will not get far with {}"),
        ),
    ),
    "date": Kind(
        draw_date,
        date_in_words,
        (
            ("{building} wurde am {} eröffnet", "{building} was opened on {}"),
            ("am {} besuchte {person} das Museum", "{person} visited the museum on {}"),
            ("der Vertrag vom {} gilt noch immer", "the contract of {} is still valid"),
            ("seit dem {} ist {building} geschlossen", "{building} has been closed since {}"),
            ("bis zum {} wohnte {person} in Berlin", "{person} lived in Berlin until {}"),
            ("der Brief trägt das Datum vom {}", "the letter is dated {}"),
        ),
    ),
    "time": Kind(
        draw_time,
        time_in_words,
        (
            ("{vehicle} fährt um {} ab", "{vehicle} leaves at {}"),
            ("{event} beginnt um {}", "{event} begins at {}"),
            ("{building} ist ab {} geöffnet", "{building} is open from {}"),
            ("wir treffen {person} um {}", "we are meeting {person} at {}"),
            ("um {} hat {person} angerufen", "at {} {person} called"),
            ("jetzt ist es {}", "it is now {}"),
        ),
    ),
}


# ---------------------------------------------------------------- the corpus


def set_of(seed: int, kind: str, value: Any) -> str:
    """The one set (train, valid or test) in which a value may occur."""
    return Random(f"{seed} {kind} {value}").choices(tuple(SHARES), tuple(SHARES.values()))[0]


def make_pair(random: Random, kind: Kind, value: Any) -> Pair:
    german, english = random.choice(kind.frames)
    fillers = {name: random.choice(choices) for name, choices in FILLERS.items()}
    said_de, said_en = kind.in_words(value)
    return (
        german.format(said_de, **{name: filler[0] for name, filler in fillers.items()}),
        english.format(said_en, **{name: filler[1] for name, filler in fillers.items()}),
    )


def make_set(name: str, size: int, seed: int) -> list[Pair]:
    """`size` different pairs, the kinds in turn, with values that belong to the set `name` only."""
    random = Random(f"{seed} {name}")
    kinds = list(KINDS)
    pairs: dict[Pair, None] = {}  # in order
    while len(pairs) < size:
        kind = kinds[len(pairs) % len(kinds)]
        value = KINDS[kind].draw(random)
        if set_of(seed, kind, value) == name:
            pairs[make_pair(random, KINDS[kind], value)] = None
    return list(pairs)


def generate(pairs: int, seed: int) -> dict[str, list[Pair]]:
    """The three sets, `pairs` pairs in all."""
    sizes = {name: round(pairs * share) for name, share in SHARES.items()}
    sizes["train"] += pairs - sum(sizes.values())
    return {name: make_set(name, size, seed) for name, size in sizes.items()}


def write(corpus: dict[str, list[Pair]], out: Path) -> None:
    """Write every file completely before any of them appears under its name."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix=".unfinished-") as unfinished:
        for name, pairs in corpus.items():
            for column, language in enumerate(LANGUAGES):
                text = "".join(f"{pair[column]}\n" for pair in pairs)
                Path(unfinished, f"{name}.{language}").write_bytes(text.encode("utf-8"))
        for file in file_names():
            os.replace(Path(unfinished, file), out / file)


def file_names() -> list[str]:
    return [f"{name}.{language}" for name in SHARES for language in LANGUAGES]


# ---------------------------------------------------------------- command line


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", metavar="OUT", type=Path, help="folder for the six files")
    parser.add_argument("--pairs", type=int, default=20_000, help="pairs in all three sets (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--force", action="store_true", help="overwrite files that are in OUT already")
    options = parser.parse_args(argv)
    if not FEWEST_PAIRS <= options.pairs <= MOST_PAIRS:
        parser.error(f"--pairs {options.pairs}: must be from {FEWEST_PAIRS} to {MOST_PAIRS}")
    there = [file for file in file_names() if (options.out / file).exists()]
    if there and not options.force:
        parser.error(f"{options.out / there[0]} exists already; --force overwrites it")
    return options


def main(argv: list[str] | None = None) -> int:
    options = parse_arguments(argv)
    start = time.perf_counter()
    try:
        corpus = generate(options.pairs, options.seed)
        write(corpus, options.out)
    except OSError as error:
        print(f"generate.py: error: OUT {options.out}: {error.strerror}", file=sys.stderr)
        return 2
    seconds = time.perf_counter() - start
    sizes = ", ".join(f"{len(pairs)} {name}" for name, pairs in corpus.items())
    print(f"{sizes} pairs, seed {options.seed}, {options.pairs / seconds:.0f} pairs a second")
    return 0


if __name__ == "__main__":
    sys.exit(main())
