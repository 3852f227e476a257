"""Fetch the six raw text files of Multi30k German-English and check them before anything is built on them.

    python raw.py FOLDER

The gzip files come from the folder that the environment variable MULTI30K_DIR names, or from the official
GitHub repository. Every problem is one line that says what, where and what to do; the exit status is then 2.
"""

import gzip
import os
import sys
import urllib.request
import zlib
from pathlib import Path

SOURCE = "https://raw.githubusercontent.com/multi30k/dataset/master/data/task1/raw"
SPLITS = ("train", "val", "test_2016_flickr")
LANGUAGES = ("de", "en")
SECONDS_WITHOUT_ANSWER = 60


class Problem(Exception):
    """Something the user has to mend, told in one line."""


def read_local(folder: Path, name: str) -> bytes:
    if not folder.is_dir():
        raise Problem(
            f"MULTI30K_DIR={folder} is not a folder: name the one that holds {name}, "
            "or unset MULTI30K_DIR to download the data"
        )
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise Problem(
            f"{folder / name}: {error.strerror}: put the file there, or unset MULTI30K_DIR to download the data"
        ) from error


def download(name: str) -> bytes:
    url = f"{SOURCE}/{name}"
    try:
        with urllib.request.urlopen(url, timeout=SECONDS_WITHOUT_ANSWER) as answer:
            return answer.read()
    except (OSError, EOFError) as error:
        reason = getattr(error, "reason", error)
        raise Problem(
            f"{url}: cannot download ({reason}): try again with a network, "
            "or set MULTI30K_DIR to a folder that holds the six .gz files"
        ) from error


def unpack(data: bytes, where: str) -> str:
    """gzip bytes -> text; lines end in a single newline"""
    remedy = "fetch the file again"
    try:
        plain = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise Problem(f"{where}: not a whole gzip file ({error}): {remedy}") from error
    try:
        text = plain.decode("utf-8")
    except UnicodeDecodeError as error:
        line = plain.count(b"\n", 0, error.start) + 1
        raise Problem(f"{where}: line {line} is not UTF-8 text: convert the file to UTF-8, or {remedy}") from error
    text = text.replace("\r\n", "\n")
    if not text.strip():
        raise Problem(f"{where}: no text in it: {remedy}")
    return text if text.endswith("\n") else text + "\n"


def main(folder: Path) -> None:
    local = os.environ.get("MULTI30K_DIR")
    folder.mkdir(parents=True)
    for split in SPLITS:
        lines = {}
        for language in LANGUAGES:
            name = f"{split}.{language}.gz"
            where = str(Path(local) / name) if local else f"{SOURCE}/{name}"
            text = unpack(read_local(Path(local), name) if local else download(name), where)
            lines[where] = text.count("\n")
            (folder / f"{split}.{language}").write_text(text, encoding="utf-8", newline="\n")
        if len(set(lines.values())) > 1:
            counts = ", ".join(f"{count} lines in {where}" for where, count in lines.items())
            raise Problem(f"{split}: the two languages differ: {counts}: fetch both files again")


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except Problem as problem:
        print(f"prepare.sh: {problem}", file=sys.stderr)
        sys.exit(2)
