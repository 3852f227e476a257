"""Fetch an archive, whole or not at all, and go on where an earlier try ended.

    python -m corpus.download NAME FILE [--keep PART]      from its official address
    python -m corpus.download NAME FILE --local            check a copy that the user has

PART has what has come so far, and `PART.version` the server's name of that version: the next run asks for the rest of
the same version only. The environment variable CORPUS_MIRROR names a folder on another server that has the archives
under the same names. (pooch has checksums and progress bars, but begins every interrupted download anew.)
"""

import argparse
import hashlib
import http.client
import os
import re
import shutil
import ssl
import time
import urllib.error
import urllib.request
from pathlib import Path

from .parallel import progress
from .problem import Problem, run
from .sources import source_of

SECONDS_WITHOUT_ANSWER = 60
TRIES = 5
BLOCK = 1 << 20
GZIP, ZIP = b"\x1f\x8b", b"PK\x03\x04"
LOCAL = "set IWSLT14_ARCHIVE, WMT_ORIG or WIKITEXT103_ARCHIVE to a copy that you have (see --help)"


class Interrupted(Exception):
    """The connection ended too early; what has come is kept, and the rest can be asked for."""


def fetch(name: str, file: Path, part: Path) -> None:
    """FILE appears by one rename, after its size and checksum were found right."""
    mirror = os.environ.get("CORPUS_MIRROR")
    url = f"{mirror.rstrip('/')}/{name}" if mirror else source_of(name).url
    part.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(1, TRIES + 1):
        try:
            receive(url, part)
            break
        except Interrupted as reason:
            if attempt == TRIES:
                raise Problem(
                    f"{url}: cannot download ({reason}): {size_of(part)} bytes are kept in {part}; "
                    f"run the same again to go on from there, or {LOCAL}"
                ) from reason
            time.sleep(float(os.environ.get("CORPUS_SECONDS_BETWEEN_TRIES", attempt)))
    try:
        check(part, name, url)
    except Problem:  # to go on from this part would never end well
        part.unlink()
        raise
    finally:
        version_of(part).unlink(missing_ok=True)
    os.replace(part, file)


def receive(url: str, part: Path) -> None:
    """Ask for what is missing in PART and append it."""
    request = urllib.request.Request(url, headers={"User-Agent": "dsp-fairseq corpus download", **range_header(part)})
    try:
        with urllib.request.urlopen(request, timeout=SECONDS_WITHOUT_ANSWER) as answer:
            append(answer, part)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # there is nothing after what is here
            return
        reason = f"the server says {error.code} {error.reason}"
        if error.code in (408, 429) or error.code >= 500:
            raise Interrupted(reason) from error
        raise Problem(f"{url}: cannot download ({reason}): {LOCAL}") from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, TimeoutError):
            raise Interrupted(str(error.reason)) from error
        # a refused connection or an unknown name will not mend itself within seconds
        kept = f" ({size_of(part)} bytes are kept in {part})" if size_of(part) else ""
        raise Problem(f"{url}: cannot download ({error.reason}){kept}: try again with a network, or {LOCAL}") from error
    except (http.client.HTTPException, ssl.SSLError, ConnectionError, TimeoutError) as error:
        raise Interrupted(f"{type(error).__name__}: {error}") from error


def range_header(part: Path) -> dict[str, str]:
    """Only with a version: without one, the rest of a file that has changed would be appended to its predecessor."""
    if not size_of(part) or not version_of(part).exists():
        return {}
    return {"Range": f"bytes={size_of(part)}-", "If-Range": version_of(part).read_text(encoding="utf-8")}


def append(answer: http.client.HTTPResponse, part: Path) -> None:
    """Append the rest to PART, or begin it anew if the server sends the whole file."""
    if answer.status == 206:
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range") or "")
        if not found or int(found[1]) != size_of(part):
            raise Interrupted("the server sent another range than was asked for")
        size = found[2].replace("*", "")
    else:
        begin(answer, part)
        size = answer.headers.get("Content-Length")
    total, have, free = int(size) if size else None, size_of(part), shutil.disk_usage(part.parent).free
    if total is not None and total - have > free:
        raise Problem(
            f"{part.parent}: disk full: {total - have} bytes are to come and {free} are free: "
            "make room, or choose another folder with --out"
        )
    with open(part, "ab") as file, progress(part.name, total, have, "B") as bar:
        while block := answer.read1(BLOCK):  # what has come, not a whole block: a kill loses little
            file.write(block)
            bar.update(len(block))
    if total is not None and size_of(part) < total:
        raise Interrupted(f"the connection ended after {size_of(part)} of {total} bytes")


def begin(answer: http.client.HTTPResponse, part: Path) -> None:
    """Remember the version: a strong ETag, else the date. RFC 9110 allows both in If-Range, but no weak ETag."""
    tag = answer.headers.get("ETag") or ""
    version = tag if tag.startswith('"') else answer.headers.get("Last-Modified")
    version_of(part).unlink(missing_ok=True)
    part.unlink(missing_ok=True)  # before the new version is named: a kill in between must not mix the two
    if version:
        version_of(part).write_text(version, encoding="utf-8")


def check(path: Path, name: str, url: str) -> None:
    source = source_of(name)
    if not is_archive(path, name):
        raise Problem(
            f"{url}: this is no {kind_of(name)} archive but something else, perhaps a page that asks to confirm: "
            f"download it with a browser, or {LOCAL}"
        )
    if source.checksum is None:
        print(f"{url}: no checksum is published; gzip's own check follows when it is unpacked")
        return
    found = sum_of(path, source.checksum)
    if found != source.checksum:
        raise Problem(
            f"{url}: checksum wrong: {found}, but {source.checksum} is published ({source.published}): "
            f"it was thrown away; run the same again, or {LOCAL}"
        )
    print(f"{url}: {found}, as published by {source.published}")


def check_local(name: str, path: Path) -> None:
    """A copy of the user's own may be another release or a part of it: another checksum is only noted."""
    if not path.is_file():
        raise Problem(f"{path}: no such file: put {name} there, or unset the variable to download it")
    if not is_archive(path, name):
        raise Problem(f"{path}: not a {kind_of(name)} archive: {name} is needed, or unset the variable to download it")
    checksum = source_of(name).checksum
    if checksum and sum_of(path, checksum) != checksum:
        print(f"note: {path} is not the published archive ({checksum}); its text is taken as it is")


def is_archive(path: Path, name: str) -> bool:
    """Whether a file begins as an archive of this name does."""
    magic = ZIP if kind_of(name) == "zip" else GZIP
    with open(path, "rb") as file:
        return file.read(len(magic)) == magic


def kind_of(name: str) -> str:
    return "zip" if name.endswith(".zip") else "gzip"


def sum_of(path: Path, like: str) -> str:
    """Checksum of the same kind as `like`: of the content, or, for git, of a header and the content."""
    kind = like.partition(":")[0]
    digest = hashlib.sha1(f"blob {size_of(path)}\0".encode()) if kind == "git" else hashlib.new(kind)
    with open(path, "rb") as file:
        return f"{kind}:{hashlib.file_digest(file, lambda: digest).hexdigest()}"


def size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def version_of(part: Path) -> Path:
    return part.with_name(f"{part.name}.version")


def main() -> None:
    parser = argparse.ArgumentParser(description="Fetch an archive of the official releases.")
    parser.add_argument("name")
    parser.add_argument("file", type=Path)
    parser.add_argument("--keep", type=Path, metavar="PART")
    parser.add_argument("--local", action="store_true")
    given = parser.parse_args()
    if given.local:
        check_local(given.name, given.file)
    else:
        fetch(given.name, given.file, given.keep or given.file.with_name(f"{given.file.name}.part"))


if __name__ == "__main__":
    run(main)
