"""Peak memory of one variant, measured in a process of its own that does nothing else.

CPU: growth of resident memory up to its peak while the largest batch is worked on, the model included. Before
that, the variant is made, works on one input and is deleted, so that memory which libraries allocate once is not
counted.
CUDA: the most memory that torch had allocated.
"""

import ctypes
import gc
import logging
import multiprocessing
import re
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import torch

from ..families.work import Input
from .settings import Decoding

HOW = {
    "cpu": "resident memory for the model and its work on the largest batch, in a process of its own",
    "cuda": "the most that torch allocated during the work on the largest batch, in a process of its own",
}


def peak_bytes(make: Callable, arguments: tuple, decoding: Decoding, batch: list[Input]) -> int | None:
    """Peak memory of the variant ``make(*arguments)``, measured in a new process; None when it cannot be measured."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as process:
        return process.submit(_peak_bytes, make, arguments, decoding, batch).result()


def _peak_bytes(make, arguments, decoding, batch) -> int | None:
    logging.disable(logging.INFO)
    _work(_made(make, arguments, decoding), batch[:1])
    _give_back()
    before = _resident("VmRSS")
    variant = _made(make, arguments, decoding)
    _give_back()  # memory that building the model has left behind
    _forget_peak(decoding.device)
    _work(variant, batch)
    if decoding.device == "cuda":
        return torch.cuda.max_memory_allocated() or None  # CTranslate2 does not allocate through torch
    return _resident("VmHWM") - before


def _made(make, arguments, decoding):
    variant = make(*arguments)
    if decoding.half:
        variant.halve()
    return variant


def _work(variant, batch: list[Input]) -> None:
    variant.batches.run(variant.batches.prepare(batch))


def _give_back() -> None:
    """Return unused memory to the system."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)


def _resident(field: str) -> int:
    """Bytes of resident memory: ``VmRSS`` now, ``VmHWM`` at its peak."""
    with open("/proc/self/status") as status:
        [kilobytes] = re.findall(rf"^{field}:\s+(\d+) kB", status.read(), re.MULTILINE)
    return 1024 * int(kilobytes)


def _forget_peak(device: str) -> None:
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    else:
        with open("/proc/self/clear_refs", "w") as peak:
            peak.write("5")  # proc(5): resets VmHWM
