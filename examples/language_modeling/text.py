"""Makes train.txt, valid.txt and test.txt, a paragraph on each line, for prepare.sh.

python text.py wikitext ARCHIVE FOLDER   the three files of WikiText-103, which are tokenised already
python text.py split TEXT FOLDER         tokens of a text; its last twentieth is the test set, the one before is valid
"""

import gzip
import itertools
import os
import sys
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from sacremoses import MosesTokenizer

HELD_OUT = 0.05  # of the text, for each of validation and test
WIKITEXT = "wikitext-103/wiki.{}.tokens"


def wikitext(archive: str, folder: Path) -> None:
    with zipfile.ZipFile(archive) as packed:
        for part in ("train", "valid", "test"):
            (folder / f"{part}.txt").write_bytes(packed.read(WIKITEXT.format(part)))


def split(text: str, folder: Path) -> None:
    with open(text, "rb") as packed:
        opener = gzip.open if packed.read(2) == b"\x1f\x8b" else open
    with opener(text, "rt", encoding="utf-8") as file:
        paragraphs = [tokens(paragraph) for paragraph in paragraphs_of(file)]
    for part, lines in parts(paragraphs).items():
        if not lines:
            sys.exit(f"{text}: has {len(paragraphs)} paragraphs, too few for a {part} set")
        (folder / f"{part}.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        print(f"{part}: {len(lines):,} paragraphs, {sum(len(line.split()) for line in lines):,} tokens")


def paragraphs_of(lines: Iterable[str]) -> Iterator[str]:
    """The paragraphs of a text: what is between empty lines, or every line when there are no empty lines."""
    stripped = [line.strip() for line in lines]
    if all(stripped[:-1]):
        yield from filter(None, stripped)
        return
    for is_text, group in itertools.groupby(stripped, key=bool):
        if is_text:
            yield " ".join(group)


_TOKENIZER = MosesTokenizer("en")


def tokens(paragraph: str) -> str:
    return _TOKENIZER.tokenize(paragraph, return_str=True, escape=False)


def parts(paragraphs: list[str]) -> dict[str, list[str]]:
    """Cut a text, in its order, by its numbers of tokens."""
    sizes = list(itertools.accumulate(len(paragraph.split()) for paragraph in paragraphs))
    ends = (
        [sum(size <= sizes[-1] * share for size in sizes) for share in (1 - 2 * HELD_OUT, 1 - HELD_OUT)]
        if sizes
        else [0, 0]
    )
    return {"train": paragraphs[: ends[0]], "valid": paragraphs[ends[0] : ends[1]], "test": paragraphs[ends[1] :]}


def main() -> None:
    command, source, folder = sys.argv[1:]
    os.makedirs(folder)
    {"wikitext": wikitext, "split": split}[command](source, Path(folder))


if __name__ == "__main__":
    main()
