"""The machine and the versions of a benchmark."""

import platform
import re
from typing import Any

import torch


def describe(device: str) -> dict[str, Any]:
    """Name of the device, number of torch's threads, versions of torch and Python."""
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else _cpu(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def _cpu() -> str:
    with open("/proc/cpuinfo") as info:
        name = re.search(r"^model name\s*: (.+)$", info.read(), re.MULTILINE)
    return name.group(1) if name else platform.machine()
