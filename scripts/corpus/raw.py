"""The raw text of a data set: train, valid where the release has one, and test; as many lines on both sides.

    python -m corpus.raw iwslt14 SOURCE TARGET FOLDER ARCHIVE
    python -m corpus.raw wmt14 SOURCE TARGET FOLDER EUROPARL COMMONCRAWL NEWS-COMMENTARY TEST-FULL
    python -m corpus.raw wmt16 SOURCE TARGET FOLDER EUROPARL COMMONCRAWL NEWS-COMMENTARY DEV TEST-FULL
    python -m corpus.raw google SOURCE TARGET FOLDER ARCHIVE

FOLDER gets train.SOURCE, train.TARGET, test.SOURCE and so on. Sides of different length are a Problem with both counts.
"""

import argparse
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .archive import members, require
from .iwslt_xml import segments, training_text
from .problem import Problem, run
from .text import decoded, refuse_unequal, write_lines

Filter = Callable[[Iterable[str]], Iterable[str]]
IWSLT_TESTS = ("TED.dev2010", "TEDX.dev2012", "TED.tst2010", "TED.tst2011", "TED.tst2012")
SLOVENIAN_TESTS = ("TED.dev2012", "TED.tst2012", "TED.tst2013")  # it joined the campaign two years later


@dataclass(frozen=True)
class Part:
    """Members of an archive that translate each other, by language, and the split that they are appended to."""

    split: str
    names: dict[str, str]
    text: Filter = iter


def english_last(source: str, target: str) -> str:
    """The releases name a pair XX-en whichever way it is translated."""
    if "en" not in (source, target):
        raise Problem(f"--source {source} --target {target}: one of the two must be en")
    other = target if source == "en" else source
    return f"{other}-en"


def both(pattern: str, source: str, target: str) -> dict[str, str]:
    return {language: pattern.format(language) for language in (source, target)}


def iwslt14_parts(source: str, target: str) -> list[Part]:
    pair = english_last(source, target)
    train = Part("train", both(f"{pair}/train.tags.{pair}.{{}}", source, target), training_text)
    return [train] + [
        Part("test", both(f"{pair}/IWSLT14.{test}.{pair}.{{}}.xml", source, target), segments)
        for test in iwslt14_tests(pair)
    ]


def iwslt14_tests(pair: str) -> tuple[str, ...]:
    return SLOVENIAN_TESTS if pair == "sl-en" else IWSLT_TESTS


def newstest2014(source: str, target: str) -> Part:
    """The archive has both directions, in each of which the translated side is called ref."""
    pair = english_last(source, target).replace("-", "")
    prefix = f"test-full/newstest2014-{pair}"
    return Part("test", {source: f"{prefix}-src.{source}.sgm", target: f"{prefix}-ref.{target}.sgm"}, segments)


def newstest2013(source: str, target: str) -> Part:
    return Part("valid", both("dev/newstest2013.{}", source, target))


def training(pattern: str, source: str, target: str) -> Part:
    return Part("train", both(pattern.format(pair=english_last(source, target)) + ".{}", source, target))


def news_commentary(archive: Path, source: str, target: str) -> Part:
    """The version (v9, v11 or v12) is in the name of the archive; v11 has a folder named like that."""
    version = re.search(r"nc-(v\d+)", archive.name)
    if not version:
        raise Problem(f"{archive}: its name tells no version: keep training-parallel-nc-v9.tgz, v11 or v12")
    folder = "training-parallel-nc-v11" if version[1] == "v11" else "training"
    return training(f"{folder}/news-commentary-{version[1]}.{{pair}}", source, target)


def google_parts(source: str, target: str) -> list[Part]:
    names = {"train": "train.tok.clean", "valid": "newstest2013.tok", "test": "newstest2014.tok"}
    return [Part(split, both(f"{name}.bpe.32000.{{}}", source, target)) for split, name in names.items()]


def parts_of(corpus: str, source: str, target: str, archives: list[Path]) -> list[tuple[Path, list[Part]]]:
    if corpus == "iwslt14":
        return [(archives[0], iwslt14_parts(source, target))]
    if corpus == "google":
        return [(archives[0], google_parts(source, target))]
    plan = [
        [training("training/europarl-v7.{pair}", source, target)],
        [training("commoncrawl.{pair}", source, target)],
        [news_commentary(archives[2], source, target)],
        *([[newstest2013(source, target)]] if corpus == "wmt16" else []),
        [newstest2014(source, target)],
    ]
    return list(zip(archives, plan, strict=True))


def extract(archive: Path, parts: list[Part], folder: Path, optional: bool) -> None:
    """Members come in the order of the archive and are appended in ours, so each waits in a file of its own."""
    counts = unpack(archive, parts, folder)
    if optional:
        parts = [part for part in parts if part.split != "test" or not counts.keys().isdisjoint(part.names.values())]
    require(archive, [name for part in parts for name in part.names.values()], counts)
    for part in parts:
        refuse_unequal({name: counts[name] for name in part.names.values()})
        for language, name in part.names.items():
            gather(waiting(folder, name), folder / f"{part.split}.{language}")
        print(f"{part.split}: {counts[name]} pairs from {' and '.join(part.names.values())}")


def unpack(archive: Path, parts: list[Part], folder: Path) -> dict[str, int]:
    """Write each wanted member as text into a file of its own; return the number of lines of each."""
    filters = {name: part.text for part in parts for name in part.names.values()}
    counts = {}
    for name, file in members(archive, filters):
        with open(waiting(folder, name), "wb") as out:
            counts[name] = write_lines(filters[name](decoded(file, f"{archive}: {name}")), out)
    return counts


def waiting(folder: Path, name: str) -> Path:
    return folder / f"{name.replace('/', '_')}.part"


def gather(part: Path, whole: Path) -> None:
    if not whole.exists():
        part.rename(whole)  # no copy of the largest corpus
        return
    with open(part, "rb") as source, open(whole, "ab") as target:
        while block := source.read(1 << 20):
            target.write(block)
    part.unlink()


def split_sizes(folder: Path) -> Iterator[str]:
    for path in sorted(folder.iterdir()):
        with open(path, "rb") as file:
            yield f"{path.name}: {sum(1 for _ in file)} lines"


def main() -> None:
    parser = argparse.ArgumentParser(description="The raw text of a data set.")
    parser.add_argument("corpus", choices=("iwslt14", "wmt14", "wmt16", "google"))
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("folder", type=Path)
    parser.add_argument("archives", type=Path, nargs="+")
    given = parser.parse_args()
    build(given.corpus, given.source, given.target, given.folder, given.archives)


def build(corpus: str, source: str, target: str, folder: Path, archives: list[Path]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    # only the German release is known to have all five test sets; other languages have some of them
    optional = corpus == "iwslt14" and english_last(source, target) != "de-en"
    for archive, parts in parts_of(corpus, source, target, archives):
        extract(archive, parts, folder, optional)
    if not (folder / f"test.{source}").exists():
        tests = iwslt14_tests(english_last(source, target))
        raise Problem(f"{archives[0]}: none of the test sets {', '.join(tests)} in it")
    print(", ".join(split_sizes(folder)))


if __name__ == "__main__":
    run(main)
