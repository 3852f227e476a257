"""Time of a forward pass of all_attention_lm against the number of its heads: it falls in proportion to them.

    python benchmarks/language_model_speed.py [--shape SHAPE] [--batch N] [--rounds N]

Random weights, evaluation, removed heads spread evenly; all models take turns. The table has the median processor time
of the layers of a pass, without embeddings and softmax, which no head owns; one core unless OMP_NUM_THREADS says more.
Set MALLOC_MMAP_THRESHOLD_ and MALLOC_TRIM_THRESHOLD_ as examples/common.sh does, or clearing memory for large tensors
takes longer than computing them.
"""

import argparse
import os
import statistics
import time
from argparse import Namespace

import torch
from fairseq.models import ARCH_CONFIG_REGISTRY, ARCH_MODEL_REGISTRY
from tabulate import tabulate

import dsp_fairseq  # noqa: F401 (registers)
from dsp_fairseq.checkpoints.building import _Words

SHARES = (1.0, 0.75, 0.5, 0.25, 0.0)
WORDS, TYPES = 256, 1000


def model_of(shape: str, share: float):
    args = Namespace(arch=shape, _name=shape, pruning_method="none", pruning_mode="joint", seed=1, adaptive_input=False)
    args.adaptive_softmax_cutoff, args.tie_adaptive_weights = None, False
    ARCH_CONFIG_REGISTRY[shape](args)
    args.pruning_method = "uniform"
    args.heads_to_keep = str(round(share * args.decoder_layers * args.decoder_attention_heads))
    words = _Words(TYPES)
    model = ARCH_MODEL_REGISTRY[shape].build_model(args, Namespace(source_dictionary=words, target_dictionary=words))
    model.eval()  # returns nothing once it is ready for generation
    model.make_generation_fast_()
    return model, int(args.heads_to_keep)


@torch.no_grad()
def seconds(model, x: torch.Tensor) -> float:
    """Processor time of all layers for inputs x [words, batch, D]."""
    begin = time.process_time()
    model.decoder._segments(x, [None] * model.decoder.num_layers)
    return time.process_time() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description="Time of a forward pass against the number of heads.")
    parser.add_argument("--shape", default="all_attention_lm_small")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 1)))
    models = [model_of(given.shape, share) for share in SHARES]
    x = torch.randn(WORDS, given.batch, models[0][0].decoder.embed_dim)
    times: list[list[float]] = [[] for _ in models]
    for number in range(given.rounds + 1):
        for (model, _), own in zip(models, times, strict=True):
            taken = seconds(model, x)
            if number:  # the first round warms up
                own.append(taken)
    whole = statistics.median(times[0])
    rows = [
        [heads, f"{1000 * statistics.median(own):.1f}", f"{statistics.median(own) / whole:.2f}"]
        for (_, heads), own in zip(models, times, strict=True)
    ]
    print(tabulate(rows, ["heads", "ms", "ratio"], tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main()
