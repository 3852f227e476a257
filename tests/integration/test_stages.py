"""What a script says when a command of one of its stages fails: killed, on a full disk, or silent."""

import subprocess
from pathlib import Path

import pytest

COMMON = Path(__file__).resolve().parents[2] / "examples" / "common.sh"


def run_stage(folder, body, before=""):
    """A stage whose work is the lines of `body`; the limits of `before` hold for it."""
    script = (
        f"set -euo pipefail; source {COMMON}; {before}\nout={folder}; work() {{ {body}\n}}\nstage thing work $out/made"
    )
    done = subprocess.run(["bash", "-c", script, "make.sh"], capture_output=True, text=True, timeout=60)
    assert not (folder / "made").exists() and not (folder / "made.partial").exists()
    return done


@pytest.mark.parametrize(
    "body, told",
    [
        ("sh -c 'kill -KILL $$'", "killed by signal 9, probably out of memory"),
        ("echo half >$1; sh -c 'kill -KILL $$' | cat", "killed by signal 9, probably out of memory"),
        ("echo well so far; sh -c 'kill -TERM $$'", "killed by signal 15 (SIGTERM)"),
        ("return 3", "it said nothing, and ended with status 3"),
        ("return 255", "it said nothing, and ended with status 255"),
        ("echo the reason; echo; echo =====; return 1", "the reason"),
    ],
)
def test_the_reason_is_told(tmp_path, body, told):
    done = run_stage(tmp_path, body)
    log = tmp_path / "logs" / "thing.log"
    assert done.returncode == 1
    assert done.stderr == f"make.sh: stage thing failed: {told} (all of it: {log})\n"


@pytest.mark.parametrize("status", [1, 2])
def test_a_full_disk_that_the_command_tells(tmp_path, status):
    done = run_stage(tmp_path, f"echo half >$1; cat $1 >/dev/full || return {status}")
    assert done.returncode == 2
    assert done.stderr.startswith(
        "make.sh: disk full: make room, or choose another folder with --out, and run the same"
    )


def test_a_full_disk_on_which_there_was_no_room_for_a_word(tmp_path):
    no_room = "df() { echo; echo tmpfs 300 300 0 100% /x; }"
    done = run_stage(tmp_path, "return 1", before=no_room)
    assert done.returncode == 2 and done.stderr.startswith("make.sh: disk full: ")


def test_a_training(tmp_path):
    script = f"set -euo pipefail; source {COMMON}; run={tmp_path}; run_training sh -c 'echo begun; kill -KILL $$'"
    done = subprocess.run(["bash", "-c", script, "make.sh"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert f"make.sh: training failed: killed by signal 9, probably out of memory (all of it: {tmp_path}" in done.stderr
