"""`dsp-fairseq` before and beside its commands: quick answers, and Ctrl-C at any moment."""

import subprocess
import sys
from pathlib import Path

import pytest

from dsp_fairseq.cli import COMMANDS

PROJECT = Path(__file__).resolve().parents[2]
# as the console script starts it; at the end, what was imported
START = """
import sys
sys.argv[0] = "/somewhere/dsp-fairseq"
from dsp_fairseq.cli import main
try:
    status = main()
except SystemExit as end:
    status = end.code
print("status", status, "heavy", [name for name in ("torch", "fairseq", "numpy") if name in sys.modules])
"""
WRONG = [
    [],
    ["nonsense"],
    ["prune"],
    ["prune", "missing.pt", "out.pt"],
    ["average", "missing.pt", "gone.pt", "--out", "out.pt"],
    ["importance", "missing.pt", "out.pt", "--heads-to-keep", "3"],
    ["export", "ctranslate2", "missing.pt", "out"],
    ["report"],
    ["report", "missing.pt", "--history", "folder"],
    ["bench", "missing.pt", "--beam", "0"],
    ["sweep", "missing.yaml"],
]


def started(*arguments):
    """What the command printed, and `status N heavy [...]`."""
    words = [sys.executable, "-c", START, *arguments]
    done = subprocess.run(words, capture_output=True, text=True, cwd=PROJECT, timeout=60)
    return done.stdout + done.stderr, done.stdout.strip().splitlines()[-1]


@pytest.mark.parametrize(
    "arguments", [["--version"], ["--help"], ["user-dir"], *([name, "--help"] for name in COMMANDS)]
)
def test_help_and_version_need_no_torch(arguments):
    printed, end = started(*arguments)
    assert end == "status 0 heavy []" and "``" not in printed


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_wrong_use_is_told_without_torch(arguments):
    printed, end = started(*arguments)
    assert end == "status 2 heavy []"
    assert ": error: " in printed and "Traceback" not in printed


@pytest.mark.parametrize(
    "where",
    ["import sys", "import multiprocessing.spawn, sys; sys.argv[0] = '/somewhere/dsp-fairseq'"],
    ids=["in a program", "in a process that the command starts"],
)
def test_the_package_registers_everywhere_else(where):
    registered = "from fairseq.models import ARCH_MODEL_REGISTRY as known; print('gated_transformer' in known)"
    code = f"{where}; import dsp_fairseq; {registered}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PROJECT)
    assert done.stdout.strip() == "True"


@pytest.mark.parametrize("moment", ["dsp_fairseq.commands", "argparse", "torch", "fairseq.models", "dsp_fairseq.tasks"])
def test_interrupted_while_it_imports(tmp_path, moment):
    """Ctrl-C, which the import of a module sends itself."""
    (tmp_path / "any.pt").write_text("no checkpoint")
    interrupt = f"""
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs in the background of a shell ignore it
class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == {moment!r}:
            os.kill(os.getpid(), signal.SIGINT)
for name in ("argparse", *(name for name in sys.modules if name.startswith("dsp_fairseq."))):
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Interrupt())
"""
    words = [sys.executable, "-c", interrupt + START, "report", str(tmp_path / "any.pt")]
    done = subprocess.run(words, capture_output=True, text=True, cwd=PROJECT)
    [line] = done.stderr.splitlines()
    assert line in ("dsp-fairseq: interrupted, nothing written", "dsp-fairseq report: interrupted, nothing written")
    assert done.returncode == 130 or done.stdout.startswith("status 130 ")


def test_interrupted_when_all_is_said(tmp_path):
    """Python needs a moment to end: Ctrl-C in it is no traceback."""
    code = START + "import atexit, os, signal; atexit.register(os.kill, os.getpid(), signal.SIGINT)"
    done = subprocess.run([sys.executable, "-c", code, "user-dir"], capture_output=True, text=True, cwd=PROJECT)
    assert (done.returncode, done.stderr) == (0, "")
