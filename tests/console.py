"""Console commands for tests, most of which need not import torch and fairseq anew, which takes four seconds.

The first call of a command in a test run starts it as a user does. Later calls run in the process of the test (see
``in_process``), in which dsp_fairseq is known already. Where that matters, a test asks for a `fresh` process: it is
forked from one (Python's forkserver) that has imported torch and fairseq, and nothing of dsp_fairseq, and does what a
start script of pip does: the same entry point, arguments, folder, environment and exit status.
"""

import atexit
import contextlib
import importlib.metadata
import io
import logging
import multiprocessing
import multiprocessing.connection
import multiprocessing.reduction
import os
import runpy
import shutil
import subprocess
import sys
import tempfile
import threading
import traceback
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
COMMANDS = Path(sys.executable).parent
IN_PROCESS = (
    "dsp-fairseq",
    "fairseq-eval-lm",
    "fairseq-generate",
    "fairseq-interactive",
    "fairseq-train",
    "fairseq-validate",
)
_one_thread = threading.Lock()
INITIAL_START_METHOD = multiprocessing.get_all_start_methods()[0]
PRELOADED = [
    "torch",
    "torch._dynamo",  # which the first optimiser of a process imports
    "sacrebleu",
    "fairseq.tasks",
    "fairseq.trainer",
    "fairseq.sequence_generator",
    "fairseq.hub_utils",
]


def run_command(name, *arguments, timeout=600, **options) -> subprocess.CompletedProcess:
    """Run a console command of this environment on one core, from the project's folder.

    `options` are those of `subprocess.run`; `env` is added to the environment. Nothing is asserted. With `fresh` it is
    a process that has imported nothing of dsp_fairseq; without it often that of the test (see `console`).
    """
    added = {"OMP_NUM_THREADS": "1", "PYTHONUTF8": "1", **options.pop("env", {})}
    return run(name, *arguments, timeout=timeout, env={**os.environ, **added}, **{"cwd": PROJECT, **options})


def run(name, *arguments, timeout, env, cwd, fresh=False, **options) -> subprocess.CompletedProcess:
    """As ``subprocess.run`` with captured text; with other ``options`` than ``input`` it starts the command itself."""
    words = [str(word) for word in arguments]
    entry_points = importlib.metadata.entry_points(group="console_scripts", name=name)
    ours = name.startswith(("fairseq", "dsp-fairseq")) and entry_points
    script = name == "python" and fresh
    if not set(options) <= {"input"} or not (ours or script) or (ours and _is_first(name)):
        command = [str(COMMANDS / name), *words]
        return subprocess.run(command, env=env, cwd=cwd, capture_output=True, text=True, timeout=timeout, **options)
    if name in IN_PROCESS and not fresh:
        import in_process  # which imports more of fairseq than a forked process should know

        return in_process.run(name, *words, env=env, cwd=cwd, **options)
    # of "python SCRIPT ARGUMENTS", which imports torch and fairseq, the script
    entry_point, argv = (words[0], words) if script else (entry_points[name].value, [name, *words])
    with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        stdin.write(options.get("input", "").encode())
        stdin.seek(0)
        process = start_forked(entry_point, argv, env, str(cwd), [stdin.fileno(), stdout.fileno(), stderr.fileno()])
        if not is_over(process, timeout):
            process.kill()
            is_over(process)
            raise subprocess.TimeoutExpired([name, *words], timeout)
        texts = [_text_of(stream) for stream in (stdout, stderr)]
    return subprocess.CompletedProcess([name, *words], process.exitcode, *texts)


def _text_of(stream):
    stream.seek(0)
    return io.TextIOWrapper(stream, "utf-8").read()


def _is_first(name):
    """Whether no process of this test run has started the command before."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", os.getpid())
    folder = Path(tempfile.gettempdir(), f"dsp-fairseq-commands-of-{run}")
    with contextlib.suppress(FileExistsError):
        folder.mkdir()
        atexit.register(shutil.rmtree, folder)
    with contextlib.suppress(FileExistsError):
        (folder / name).touch(exist_ok=False)
        return True
    return False


def start_forked(entry_point, argv, env, cwd, streams) -> multiprocessing.Process:
    """A process that runs a command as its start script does, with three file descriptors as its streams.

    It is forked from one that has imported torch and fairseq. ``entry_point`` may be a Python script.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    process = context.Process(target=_command, args=(entry_point, argv, env, cwd, [*map(Descriptor, streams)]))
    with _one_thread:
        process.start()  # which reads the exit statuses of other processes that are over
    return process


def is_over(process, timeout=None) -> bool:
    """Wait for a forked process, at most ``timeout`` seconds; then it has its exit status."""
    if not multiprocessing.connection.wait([process.sentinel], timeout):
        return False
    with _one_thread:  # the status can be read only once
        process.join()
    return True


class Descriptor:
    """A file descriptor, which is another number in the process that receives it."""

    def __init__(self, number):
        self.number = number

    def __reduce__(self):
        return _received, (multiprocessing.reduction.DupFd(self.number),)


def _received(duplicate):
    return Descriptor(duplicate.detach())


def _command(entry_point, argv, env, cwd, streams):
    """What the start script of a command does, and then what the interpreter does at its end."""
    for number, stream in enumerate(streams):
        os.dup2(stream.number, number)
        os.close(stream.number)
    sys.stdin = open(0, encoding="utf-8", closefd=False)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    # the forkserver leaves its own way here, in which each process of a pool would import torch and fairseq anew
    multiprocessing.set_start_method(INITIAL_START_METHOD, force=True)
    if "OMP_NUM_THREADS" in env:  # torch read it when the forkserver imported it; other numbers round differently
        import torch

        torch.set_num_threads(int(env["OMP_NUM_THREADS"]))
    assert "dsp_fairseq" not in sys.modules
    if argv[0] == "fairseq-train" or entry_point.endswith(
        ".py"
    ):  # it alone says where its log goes before it imports fairseq, which says so then
        logging.root.handlers.clear()
    here = str(Path(__file__).parent)
    first = str(Path(entry_point).resolve().parent) if entry_point.endswith(".py") else str(COMMANDS)
    sys.path[:] = [first, *(path for path in sys.path if not path.startswith(here))]
    sys.argv = [str(COMMANDS / argv[0]), *argv[1:]]
    status = 0
    try:
        if entry_point.endswith(".py"):
            runpy.run_path(entry_point, run_name="__main__")
        else:
            module, _, function = entry_point.partition(":")
            status = getattr(__import__(module, fromlist=[function]), function)()
    except SystemExit as end:
        status = end.code
    except BaseException:
        traceback.print_exc()
        status = 1
    if isinstance(status, str):
        print(status, file=sys.stderr)
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status if isinstance(status, int) else status is not None)
