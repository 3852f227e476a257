"""Milliseconds of sampling the gates once, forward and backward, on one core.

    python benchmarks/sampling.py

The k sequential softmaxes of the relaxed subset are what DSP adds to every update. Goals: at most
1 ms at H = 72, K = 24 and at most 8 ms at H = 288, K = 144.
"""

import statistics
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from dsp_fairseq.gates import gumbel_noise, straight_through_gumbel_top_k  # noqa: E402

SIZES = [(36, 12), (72, 24), (72, 36), (144, 72), (288, 144)]


def milliseconds(heads: int, keep: int, runs: int = 200) -> "list[float]":
    logits = torch.randn(heads, dtype=torch.float64, requires_grad=True)
    slope = torch.randn(heads, dtype=torch.float64)
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        gates = straight_through_gumbel_top_k(logits, keep, 0.3, gumbel_noise(heads))
        (gates * slope).sum().backward()
        times.append(1e3 * (time.perf_counter() - start))
    return times


def main() -> None:
    torch.set_num_threads(1)
    print("heads  keep  median ms  (10% to 90%)")
    for heads, keep in SIZES:
        milliseconds(heads, keep, runs=20)  # warm-up
        times = sorted(milliseconds(heads, keep))
        low, high = times[len(times) // 10], times[-len(times) // 10]
        print(f"{heads:5}  {keep:4}  {statistics.median(times):9.2f}  ({low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main()
