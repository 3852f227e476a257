"""Time of a linear layer whose weight lies in memory by output (as torch makes it) or by input.

    python benchmarks/weight_layout.py

One thread. Rows are hypotheses of a decoding step (160: batch 32, beam 5; 5: one sentence), or words of a batch
(384). The two take turns; the lower quartile of 150 runs counts.
"""

import time

import torch
import torch.nn.functional as F

from dsp_fairseq.modules.gated_attention import by_input

RUNS = 150


def seconds(x, weights, bias):
    """Lower quartile of the time of each weight."""
    taken = [[] for _ in weights]
    for _ in range(RUNS):
        for times, weight in zip(taken, weights, strict=True):
            start = time.perf_counter()
            F.linear(x, weight, bias)
            times.append(time.perf_counter() - start)
    return [sorted(times)[RUNS // 4] for times in taken]


@torch.inference_mode()
def main():
    torch.set_num_threads(1)
    print("| rows | inputs => outputs | by output, ms | by input, ms | ratio |\n|---|---|---|---|---|")
    for rows in (160, 5, 384):
        for inputs, outputs in ((512, 128), (512, 512), (512, 1024), (1024, 512)):
            weight = torch.randn(outputs, inputs)
            x, bias = torch.randn(rows, inputs), torch.randn(outputs)
            plain, ours = seconds(x, [weight, by_input(weight)], bias)
            print(f"| {rows} | {inputs} => {outputs} | {1e3 * plain:.3f} | {1e3 * ours:.3f} | {ours / plain:.2f} |")


if __name__ == "__main__":
    main()
