"""generate.py of the quick start as a command."""

import os
import subprocess
import sys

from console import PROJECT

SCRIPT = PROJECT / "examples" / "quickstart" / "generate.py"


def command(*arguments, **environment):
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


def test_same_seed_same_bytes(tmp_path):
    """Also when Python hashes otherwise and the locale knows no UTF-8."""
    ascii_only = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    for name, environment in (("a", {"PYTHONHASHSEED": "1"}), ("b", {"PYTHONHASHSEED": "2", **ascii_only})):
        done = command(tmp_path / name, "--pairs", 300, "--seed", 7, **environment)
        assert done.returncode == 0, done.stderr
    one, other = ({file.name: file.read_bytes() for file in (tmp_path / name).iterdir()} for name in ("a", "b"))
    assert one == other
    assert sorted(one) == sorted(f"{name}.{side}" for name in ("train", "valid", "test") for side in ("de", "en"))
