"""Every later version uses a checkpoint of every format as the version that wrote it did: CHANGELOG.md's promise.

The checkpoints, their recipe and what their version did with them are in ``tests/frozen``.
"""

import gzip
import json

import pytest
from behaviour import behaviour_of, differences
from console import PROJECT

FROZEN = PROJECT / "tests" / "frozen"
CHECKPOINTS = [path.relative_to(FROZEN) for path in sorted(FROZEN.glob("*/*.pt.gz"))]

pytest.importorskip("ctranslate2")


@pytest.mark.parametrize("packed", CHECKPOINTS, ids=lambda path: str(path).removesuffix(".pt.gz"))
def test_is_used_as_by_its_own_version(packed, tmp_path):
    checkpoint = tmp_path / "checkpoint.pt"
    checkpoint.write_bytes(gzip.decompress((FROZEN / packed).read_bytes()))
    expected = json.loads((FROZEN / f"{packed.as_posix().removesuffix('.pt.gz')}.json").read_text())
    data = FROZEN / ("text-bin" if "-lm" in packed.name else "data-bin")
    seen = behaviour_of(checkpoint, data, tmp_path / "work", *expected)
    found = differences(expected, seen)
    assert not found, "\n".join(found[:10])
