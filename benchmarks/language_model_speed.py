"""Time of a forward pass of all_attention_lm against the number of its heads: it falls in proportion to them.

    python benchmarks/language_model_speed.py [--shape SHAPE] [--batch N] [--rounds N] [--plot FILE.png] [--json FILE]

Random weights, evaluation, removed heads spread evenly; all models take turns. The table has the median processor time
of the layers of a pass, without embeddings and softmax, which no head owns, and the ratio to all heads, round by round;
one core unless OMP_NUM_THREADS says more. Set MALLOC_MMAP_THRESHOLD_ and MALLOC_TRIM_THRESHOLD_ as examples/common.sh
does, or clearing memory for large tensors takes longer than computing them.
"""

import argparse
import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

import torch
from fairseq.models import ARCH_CONFIG_REGISTRY, ARCH_MODEL_REGISTRY
from measured import add_arguments, check_device, machine, now, spread, write
from tabulate import tabulate

import dsp_fairseq  # noqa: F401 (registers)
from dsp_fairseq import pictures
from dsp_fairseq.checkpoints.building import _Words
from dsp_fairseq.errors import BadInput, refuse

SHARES = [eighths / 8 for eighths in range(8, -1, -1)]
WORDS, TYPES = 256, 1000


def model_of(shape: str, share: float, device: str):
    args = Namespace(arch=shape, _name=shape, pruning_method="none", pruning_mode="joint", seed=1, adaptive_input=False)
    args.adaptive_softmax_cutoff, args.tie_adaptive_weights = None, False
    ARCH_CONFIG_REGISTRY[shape](args)
    args.pruning_method = "uniform"
    args.heads_to_keep = str(round(share * args.decoder_layers * args.decoder_attention_heads))
    words = _Words(TYPES)
    model = ARCH_MODEL_REGISTRY[shape].build_model(args, Namespace(source_dictionary=words, target_dictionary=words))
    model.to(device).eval()  # returns nothing once it is ready for generation
    model.make_generation_fast_()
    return model, int(args.heads_to_keep)


@torch.no_grad()
def seconds(model, x: torch.Tensor) -> float:
    """Time of all layers for inputs x [words, batch, D]."""
    begin = now(x.device.type)
    model.decoder._segments(x, [None] * model.decoder.num_layers)
    return now(x.device.type) - begin


def in_turns(models: Sequence, x: torch.Tensor, rounds: int) -> list[list[float]]:
    """Seconds of every model in every round, [models][rounds]; a round before them warms up."""
    times: list[list[float]] = [[] for _ in models]
    for number in range(rounds + 1):
        for (model, _), own in zip(models, times, strict=True):
            taken = seconds(model, x)
            if number:
                own.append(taken)
    return times


def results_of(heads: Sequence[int], times: Sequence[Sequence[float]]) -> list[dict]:
    """A row for every number of heads, the largest first; the ratios are to the first row, round by round."""
    return [
        {
            "heads": count,
            "milliseconds": spread([1000 * taken for taken in own]),
            "ratio": spread([taken / whole for taken, whole in zip(own, times[0], strict=True)]),
        }
        for count, own in zip(heads, times, strict=True)
    ]


def draw(results: Sequence[dict], shape: str, conditions: str):
    """The matplotlib figure: ratios against heads with the lowest and the highest, and what proportion would be."""
    figure = pictures.new_figure(7.5, 4.6)
    panel = figure.add_axes((0.11, 0.2, 0.85, 0.64))
    heads, ratios = [row["heads"] for row in results], [row["ratio"] for row in results]
    panel.plot([0, heads[0]], [0, 1], color=pictures.QUIET, linestyle="--", label="in proportion to heads")
    medians = [ratio["median"] for ratio in ratios]
    reach = [[r["median"] - r["min"] for r in ratios], [r["max"] - r["median"] for r in ratios]]
    colour, mark = pictures.LOOKS[0]
    panel.errorbar(
        heads, medians, yerr=reach, color=colour, marker=mark, capsize=3, label="measured, from lowest to highest"
    )
    for count, median in zip(heads, medians, strict=True):
        beside = (7, -13) if count else (3, 11)  # at no heads, above the line
        panel.annotate(f"{median:.2f}", (count, median), xytext=beside, textcoords="offset points", fontsize="small")
    panel.set(xlabel="kept heads", ylabel=f"time, ratio to {heads[0]} heads", xticks=heads)
    panel.set_xlim(0, heads[0] * 1.06)
    panel.set_ylim(0, max(1.05, max(ratio["max"] for ratio in ratios) * 1.03))
    pictures.open_frame(panel)
    panel.legend(frameon=False, loc="upper left")
    pictures.head(figure, "A pass through the layers against kept heads", shape)
    figure.text(0.5, 0.02, conditions, ha="center", va="bottom", color=pictures.QUIET, fontsize="small")
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description="Time of a forward pass against the number of heads.")
    parser.add_argument("--shape", default="all_attention_lm_small", help="default: %(default)s")
    parser.add_argument("--batch", type=int, default=4, help=f"texts of {WORDS} words (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=9, help="default: %(default)s")
    parser.add_argument("--plot", metavar="FILE.png", help="draw the table too; an old picture is replaced")
    add_arguments(parser)
    given = parser.parse_args()
    check_device(given.device)
    try:
        refuse(pictures.problems(given.plot, force=True) if given.plot else [])
    except BadInput as problem:
        print(problem, file=sys.stderr)
        sys.exit(2)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 1)))
    models = [model_of(given.shape, share, given.device) for share in SHARES]
    x = torch.randn(WORDS, given.batch, models[0][0].decoder.embed_dim, device=given.device)
    results = results_of([heads for _, heads in models], in_turns(models, x, given.rounds))
    rows = [
        [
            row["heads"],
            f"{row['milliseconds']['median']:.1f}",
            "{median:.2f} ({min:.2f} to {max:.2f})".format(**row["ratio"]),
        ]
        for row in results
    ]
    print(tabulate(rows, ["heads", "ms", "ratio"], tablefmt="github", disable_numparse=True))
    if given.json:
        settings = {"shape": given.shape, "batch": given.batch, "words": WORDS, "rounds": given.rounds}
        write(Path(given.json), "language_model_speed", given.device, settings, results)
    if given.plot:
        there = machine(given.device)
        kind = "processor time" if given.device == "cpu" else "time"
        conditions = (
            f"{given.batch} texts of {WORDS} words; {there['device']}, threads: {there['threads']}, torch "
            f"{there['torch']}\nmedian of {given.rounds} rounds, {kind}, all models in turns"
        )
        pictures.save(draw(results, given.shape, conditions), given.plot, force=True)


if __name__ == "__main__":
    main()
