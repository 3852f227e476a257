"""Starts the jobs of a sweep through submitit: as processes of this machine, or on a Slurm cluster.

submitit pickles ``subprocess.call`` and a command. The sweep unpickles nothing: a job writes its outcome as
JSON (:mod:`steps`).
"""

import contextlib
import io
import json
import logging
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from typing import Any

import submitit

from ..errors import Failed

LOCAL, SLURM = CLUSTERS = ("local", "slurm")
FOLDER = ".jobs"  # of submitit's files, in the folder of the sweep
DAY = 24 * 60  # default time limit of a Slurm job, in minutes
GRACE = 10.0  # seconds from SIGTERM to SIGKILL
_STEPS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "steps.py")
# Runs first in the process of a job, then becomes submitit's program: the kernel is to kill it when the sweep dies
# (prctl's PR_SET_PDEATHSIG, 1). subprocess's preexec_fn would do this between fork and exec, where Python may hang when
# the parent has threads, and torch has.
_DIE_WITH_PARENT = f"""
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, {int(signal.SIGKILL)})
if os.getppid() == int(sys.argv[1]):
    os.execvp(sys.argv[2], sys.argv[2:])
"""


def executable(name: str) -> str:
    """A console command of this Python's environment, on PATH or not."""
    beside = os.path.join(os.path.dirname(sys.executable), name)
    return beside if os.path.isfile(beside) else shutil.which(name) or name


def environment() -> dict[str, str]:
    """Variables that decide how fast a command computes; what the environment says goes first.

    One thread, so that --jobs says how many cores are used. On a CPU, glibc gives the memory of every large tensor
    back to the kernel, which clears it page by page for the next one: a seventh of the time of a small model's
    training. With these settings it keeps that memory, about a tenth more than without them.
    """
    chosen = {"OMP_NUM_THREADS": "1", "MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**33)}
    return {name: os.environ.get(name) or value for name, value in chosen.items()}


class LocalJob(submitit.LocalJob):
    """A job of this machine, in a session of its own."""

    _process: Any  # a Popen as soon as the job is submitted

    def cancel(self, check: bool = True) -> None:
        self.send(signal.SIGTERM)

    def send(self, number: int) -> None:
        """Sends a signal to the process of the job and to all its children."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)


class LocalExecutor(submitit.LocalExecutor):
    """submitit's executor for one machine, without the controller process that it starts for each job.

    The controller survives the death of the sweep and keeps no lock, hides the GPUs unless it is told their numbers,
    and prints a traceback on the terminal when Ctrl-C ends it. Here the job is a child of the sweep and ends with it.
    """

    job_class = LocalJob
    _numbers = count(1)

    def __init__(self, folder: str, locks: tuple[int, ...]):
        super().__init__(folder)
        self.locks = locks

    def _submit_command(self, command: str) -> LocalJob:
        job_id = f"{os.getpid()}-{next(self._numbers)}"
        place = {"SUBMITIT_EXECUTOR": "local", "SUBMITIT_LOCAL_JOB_ID": job_id}
        path = submitit.core.utils.JobPaths(self.folder, job_id=job_id).stdout
        with open(path, "ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT, str(os.getpid()), *shlex.split(command)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **place},
                start_new_session=True,  # Ctrl-C reaches the sweep alone, which then stops its jobs
                pass_fds=self.locks,
            )
        return LocalJob(self.folder, job_id, process=process)


@contextlib.contextmanager
def opened(cluster: str, out: str, locks: tuple[int, ...], slurm: Mapping[str, Any]) -> Iterator[submitit.Executor]:
    """Yields what starts the jobs of a sweep in the folder ``out``.

    ``locks`` are file descriptors that the jobs inherit, ``slurm`` parameters of submitit's SlurmExecutor.
    """
    logging.getLogger("submitit").setLevel(logging.ERROR)
    folder = os.path.join(out, FOLDER)
    if cluster == SLURM:
        executor = submitit.SlurmExecutor(folder)
        executor.update_parameters(**{"time": DAY, "wckey": None, **slurm})
        yield executor  # the folder stays: jobs outlive a killed sweep and write their logs there
        return
    try:
        yield LocalExecutor(folder, locks)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def slurm_problems() -> list[str]:
    """A line when this machine lacks commands of Slurm."""
    remedy = "run it on a machine of the cluster from which jobs are submitted"
    missing = [name for name in ("sbatch", "srun", "sacct") if shutil.which(name) is None]
    return [f"--cluster slurm: needs {', '.join(missing)} of Slurm on PATH; {remedy}"] if missing else []


def start(executor: submitit.Executor, name: str, steps: list[dict[str, Any]], outcome: str) -> submitit.Job:
    """A job that runs the ``steps`` of :mod:`steps` and leaves the file ``outcome``."""
    steps = [{**step, "words": [executable(step["words"][0]), *step["words"][1:]]} for step in steps]
    variables = {
        **environment(),
        "PYTHONUTF8": os.environ.get("PYTHONUTF8", "1"),
        "LOGLEVEL": "INFO",  # the sweep reads what fairseq says
    }
    words = ["env", *(f"{key}={value}" for key, value in variables.items())]
    words += [sys.executable, "-I", "-S", _STEPS, outcome, json.dumps(steps)]
    with contextlib.suppress(FileNotFoundError):
        os.remove(outcome)
    if isinstance(executor, submitit.SlurmExecutor):
        executor.update_parameters(job_name=name)
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # submitit prints the message of the error that it raises
            return executor.submit(subprocess.call, words, close_fds=False)
    except (submitit.core.utils.FailedJobError, submitit.core.utils.FailedSubmissionError) as error:
        told = str(error).strip().splitlines() or ["sbatch said nothing"]
        raise Failed(f"{name}: could not be submitted: {told[-1]}") from error


def attach(out: str, job_id: str) -> submitit.Job:
    """A job of Slurm that an earlier sweep has submitted."""
    return submitit.SlurmJob(os.path.join(out, FOLDER), job_id)


def stop(jobs: Iterable[submitit.Job]) -> None:
    """Ends the jobs, on this machine with all their children: SIGTERM first, SIGKILL after a pause."""
    jobs = list(jobs)
    for job in jobs:
        job.cancel(check=False)
    until = time.monotonic() + GRACE
    for job in jobs:
        if isinstance(job, LocalJob):
            with contextlib.suppress(subprocess.TimeoutExpired):
                job._process.wait(max(0.0, until - time.monotonic()))
            job.send(signal.SIGKILL)  # also ends children that survived the job
            job._process.wait()
