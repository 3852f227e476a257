"""The label-smoothed loss against fairseq's, forward and backward, milliseconds on one core.

    python benchmarks/loss.py

One batch of the Multi30k setting: 1,900 tokens, 9,720 types. The two are interleaved.
"""

import statistics
import sys
import time
from pathlib import Path

import torch
from fairseq.criterions.label_smoothed_cross_entropy import label_smoothed_nll_loss

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from dsp_fairseq.criterions.label_smoothed_loss import label_smoothed_loss

TOKENS, TYPES, EPSILON, PADDING, RUNS = 1900, 9720, 0.1, 1, 9


def stock(logits, target):
    log_p = torch.log_softmax(logits, dim=-1, dtype=torch.float32)
    return label_smoothed_nll_loss(log_p, target, EPSILON, ignore_index=PADDING)[0]


def ours(logits, target):
    return label_smoothed_loss(logits, target, EPSILON, PADDING)[0]


def main() -> None:
    torch.set_num_threads(1)
    logits = torch.randn(TOKENS, TYPES, requires_grad=True)
    target = torch.randint(2, TYPES, (TOKENS,))
    times = {stock: [], ours: []}
    for _ in range(RUNS + 1):  # the first is the warm-up
        for loss in times:
            logits.grad = None
            start = time.perf_counter()
            loss(logits, target).backward()
            times[loss].append(1e3 * (time.perf_counter() - start))
    medians = {loss.__name__: statistics.median(runs[1:]) for loss, runs in times.items()}
    print(", ".join(f"{name} {value:.0f} ms" for name, value in medians.items()))
    print(f"ratio {medians['ours'] / medians['stock']:.2f}")


if __name__ == "__main__":
    main()
