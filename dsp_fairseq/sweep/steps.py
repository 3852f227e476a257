"""Runs the commands of one cell, one after the other: the program of a job, on this machine or on a cluster.

    python steps.py OUTCOME.json '[{"words": [...], "output": FILE, "errors": FILE or null}, ...]'

OUTCOME.json appears when all commands are done or one has failed: how many were started, the exit status of the last
one (negative: the number of the signal that ended it) and its seconds. A script that imports nothing of dsp_fairseq,
because that would load torch in every job.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
import time

_PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> None:
    """Let the kernel kill this process when its parent ends in any way; end now if it has ended already."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != parent:
        os._exit(1)


def run(step: dict) -> int:
    """Exit status of one command, which is ended when this process ends."""
    own = os.getpid()
    with open(step["output"], "wb") as output, open(step["errors"] or os.devnull, "wb") as errors:
        child = subprocess.Popen(
            step["words"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors if step["errors"] else subprocess.STDOUT,
            preexec_fn=lambda: die_with(own),  # safe: this process has a single thread
            close_fds=False,  # the command keeps the lock of the sweep's folder
        )
    return child.wait()


def main(outcome: str, steps: list[dict]) -> None:
    die_with(os.getppid())
    if os.environ.get("SUBMITIT_EXECUTOR") == "slurm":
        # signals before a preemption or at the time limit: submitit answers them, the commands need not know
        for number in (signal.SIGTERM, signal.SIGUSR2):
            signal.signal(number, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, lambda *_: None)  # sent to all processes of the job: the command ends first
    started, status, seconds = 0, 0, 0.0
    while started < len(steps) and status == 0:
        begin = time.monotonic()
        status, started = run(steps[started]), started + 1
        seconds = time.monotonic() - begin
    with open(f"{outcome}.partial", "w", encoding="utf-8") as file:
        json.dump({"started": started, "status": status, "seconds": seconds}, file)
    os.replace(f"{outcome}.partial", outcome)


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
