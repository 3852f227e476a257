"""Members of a tar.gz, read in one pass in which the whole archive is checked.

Members are found by name and written under names of our own: no path in the archive is ever used as a path here.
"""

import contextlib
import gzip
import tarfile
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO

from .problem import Problem

BLOCK = 1 << 20


def members(archive: Path, wanted: Collection[str]) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Name and lines of each wanted file, in the order of the archive; damage anywhere in it is a Problem.

    gzip has its checksum at the very end, so the rest is read even when all wanted members were found.
    """
    with damage_is_a_problem(archive), gzip.open(archive) as plain:
        with tarfile.open(fileobj=plain, mode="r|") as tar:
            for member in tar:
                name = member.name.removeprefix("./")
                if name in wanted and member.isfile():
                    yield name, raw_lines(archive, tar.extractfile(member))
        while plain.read(BLOCK):
            pass


def raw_lines(archive: Path, file: IO[bytes]) -> Iterator[bytes]:
    """The caller of `members` reads them, outside the `with` there, which would not see an error."""
    with damage_is_a_problem(archive):
        yield from file


@contextlib.contextmanager
def damage_is_a_problem(archive: Path) -> Iterator[None]:
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile, tarfile.TarError) as error:
        raise Problem(
            f"{archive}: not a whole tar.gz archive ({error}): remove the file and fetch the archive again"
        ) from error


def require(archive: Path, wanted: Collection[str], found: Collection[str]) -> None:
    missing = sorted(set(wanted) - set(found))
    if missing:
        raise Problem(
            f"{archive}: holds no {' and no '.join(missing)}: is it the right archive, and has this release "
            "the languages of --source and --target?"
        )
