"""Fetch an archive, whole or not at all, and go on where an earlier try ended.

    python -m corpus.download NAME FILE [--keep PART]      from its official address
    python -m corpus.download NAME FILE --local            check a copy that the user has

What has come so far stays in PART, and what the server calls that version beside it (`PART.version`): the next run
asks for the rest of the same version only. The environment variable CORPUS_MIRROR names a folder on another server
that has the archives under the same names.
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
from .sources import Source, source_of

SECONDS_WITHOUT_ANSWER = 60
TRIES = 5
BLOCK = 1 << 20
LOCAL = "or set IWSLT14_ARCHIVE or WMT_ORIG to a copy that you have (see --help)"


class Interrupted(Exception):
    """The connection ended too early; what came is kept, the rest can be asked for."""


def address(name: str) -> str:
    mirror = os.environ.get("CORPUS_MIRROR")
    return f"{mirror.rstrip('/')}/{name}" if mirror else source_of(name).url


def fetch(name: str, file: Path, part: Path) -> None:
    """FILE appears by one rename, after its size and checksum were found right."""
    url = address(name)
    part.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(1, TRIES + 1):
        try:
            receive(url, part)
            break
        except Interrupted as reason:
            if attempt == TRIES:
                raise Problem(
                    f"{url}: cannot download ({reason}): {size_of(part)} bytes are kept in {part}; "
                    f"run the same again to go on from there, {LOCAL}"
                ) from reason
            time.sleep(float(os.environ.get("CORPUS_SECONDS_BETWEEN_TRIES", attempt)))
    check_kind(part, url)
    check_sum(part, source_of(name), url)
    version_file(part).unlink(missing_ok=True)
    os.replace(part, file)


def receive(url: str, part: Path) -> None:
    """Ask for what is missing in PART and append it."""
    have = size_of(part)
    request = urllib.request.Request(url, headers={"User-Agent": "dsp-fairseq corpus download", **ask_for_rest(part)})
    try:
        with urllib.request.urlopen(request, timeout=SECONDS_WITHOUT_ANSWER) as answer:
            start, total = range_of(answer, have)
            if start == 0:
                remember_version(answer, part)
            check_room(part, start, total)
            append(answer, part, start, total)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing after what is here: it is whole, or another version
            total = re.search(r"\*/(\d+)", error.headers.get("Content-Range") or "")
            if total and int(total[1]) == have:
                return
            part.unlink()
            raise Interrupted("the part that was here is not of this file; starting again") from error
        if error.code in (408, 429) or error.code >= 500:
            raise Interrupted(f"the server says {error.code} {error.reason}") from error
        raise Problem(f"{url}: cannot download (the server says {error.code} {error.reason}): {LOCAL[3:]}") from error
    except urllib.error.URLError as error:
        raise unreachable(url, error.reason, part) from error
    except (http.client.HTTPException, ssl.SSLError, ConnectionError, TimeoutError) as error:
        raise Interrupted(f"{type(error).__name__}: {error}") from error


def unreachable(url: str, reason: object, part: Path) -> Exception:
    """A refused connection or an unknown name will not mend itself within seconds; a timeout may."""
    if isinstance(reason, TimeoutError):
        return Interrupted(str(reason))
    kept = f" ({size_of(part)} bytes are kept in {part})" if size_of(part) else ""
    return Problem(f"{url}: cannot download ({reason}){kept}: try again with a network, {LOCAL}")


def ask_for_rest(part: Path) -> dict[str, str]:
    """Range only with a version: without one, a file that changed meanwhile would be glued to its predecessor."""
    version = version_file(part)
    if not size_of(part) or not version.exists():
        return {}
    return {"Range": f"bytes={size_of(part)}-", "If-Range": version.read_text(encoding="utf-8")}


def range_of(answer, have: int) -> tuple[int, int | None]:
    """The place in the file where the answer starts, and the size of the whole file."""
    if answer.status == 206:
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range") or "")
        if not found or int(found[1]) != have:
            raise Interrupted("the server sent another range than was asked for")
        return have, None if found[2] == "*" else int(found[2])
    length = answer.headers.get("Content-Length")
    return 0, int(length) if length else None


def remember_version(answer, part: Path) -> None:
    """A strong ETag, else the date; RFC 9110 allows both in If-Range, but no weak ETag."""
    tag = answer.headers.get("ETag") or ""
    version = tag if tag.startswith('"') else answer.headers.get("Last-Modified")
    version_file(part).unlink(missing_ok=True)
    part.unlink(missing_ok=True)  # before the new version is named: a kill in between must not mix the two
    if version:
        version_file(part).write_text(version, encoding="utf-8")


def check_room(part: Path, start: int, total: int | None) -> None:
    free = shutil.disk_usage(part.parent).free
    if total is not None and total - start > free:
        raise Problem(
            f"{part.parent}: disk full: {total - start} bytes are to come and {free} are free: "
            "make room, or choose another folder with --out"
        )


def append(answer, part: Path, start: int, total: int | None) -> None:
    with open(part, "ab") as file, progress(part.name, total, start, "B") as bar:
        while block := answer.read1(BLOCK):  # what has come, not a whole block: a kill loses little
            file.write(block)
            bar.update(len(block))
    if total is not None and size_of(part) < total:
        raise Interrupted(f"the connection ended after {size_of(part)} of {total} bytes")


def check_kind(path: Path, where: str) -> None:
    with open(path, "rb") as file:
        if file.read(2) == b"\x1f\x8b":
            return
    throw_away(path)
    raise Problem(
        f"{where}: this is no gzip archive but something else, perhaps a page that asks to confirm: "
        f"download it with a browser, {LOCAL}"
    )


def check_sum(path: Path, source: Source, where: str) -> None:
    """A wrong one is removed: going on from it would never end well."""
    if source.checksum is None:
        print(f"{where}: no checksum is published; gzip's own check follows when it is unpacked")
        return
    found = sum_of(path, source.checksum)
    if found == source.checksum:
        print(f"{where}: {found}, as published by {source.published}")
        return
    throw_away(path)
    raise Problem(
        f"{where}: checksum wrong: {found}, but {source.checksum} is published ({source.published}): "
        f"it was thrown away; run the same again, {LOCAL}"
    )


def throw_away(path: Path) -> None:
    path.unlink()
    version_file(path).unlink(missing_ok=True)


def sum_of(path: Path, like: str) -> str:
    """As `like` has it: of the content, or git's of a header and the content."""
    kind = like.partition(":")[0]
    digest = hashlib.sha1(f"blob {size_of(path)}\0".encode()) if kind == "git" else hashlib.new(kind)
    with open(path, "rb") as file:
        return f"{kind}:{hashlib.file_digest(file, lambda: digest).hexdigest()}"


def check_local(name: str, path: Path) -> None:
    """A copy of the user's own may be another release or a part of it: a strange checksum is told, not refused."""
    if not path.is_file():
        raise Problem(f"{path}: no such file: put {name} there, or unset the variable to download it")
    with open(path, "rb") as file:
        if file.read(2) != b"\x1f\x8b":
            raise Problem(f"{path}: not a gzip archive: {name} is needed, or unset the variable to download it")
    source = source_of(name)
    if source.checksum and sum_of(path, source.checksum) != source.checksum:
        print(f"note: {path} is not the published archive ({source.checksum}); its text is taken as it is")


def size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def version_file(part: Path) -> Path:
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
