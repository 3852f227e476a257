"""Words per second of training: gated methods against the stock transformer, interleaved.

    python benchmarks/training_speed.py DATA_BIN [--shape multi30k|iwslt] [--runs 5] [--updates 40]

Every run is a `fairseq-train` process of its own on one core; its words/s are those that fairseq
logs for the updates after the first ten. Runs of the variants take turns; the ratio is taken round
by round and its median reported. The phases of `dsp` are timed apart by starting each in it: all
heads open (warm-up), choosing (search), and under the final mask (settled).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
COMMON = """--share-all-embeddings --optimizer adam --adam-betas (0.9,0.98) --lr 5e-3
 --lr-scheduler inverse_sqrt --warmup-updates 400 --dropout 0.1 --weight-decay 1e-4 --label-smoothing 0.1
 --max-tokens 2048 --cpu --no-save --disable-validation --log-format json --log-interval 1 --seed 1""".split()
SHAPES = {
    "multi30k": """--encoder-layers 3 --decoder-layers 3 --encoder-embed-dim 128 --decoder-embed-dim 128
 --encoder-ffn-embed-dim 256 --decoder-ffn-embed-dim 256""".split(),
    "iwslt": [],
}
HEADS = {"multi30k": 36, "iwslt": 72}
WARM_UP = 10  # updates not counted


def variants(heads: int, updates: int) -> "dict[str, list[str]]":
    stock = ["--arch", "transformer_iwslt_de_en", "--criterion", "label_smoothed_cross_entropy"]
    gated = ["--user-dir", str(PROJECT / "dsp_fairseq"), "--arch", "gated_transformer_iwslt_de_en"]
    gated += ["--task", "translation_pruning", "--criterion", "dsp_label_smoothed_cross_entropy"]
    third = ["--heads-to-keep", str(heads // 3)]
    return {
        "stock": stock,
        "none": [*gated, "--pruning-method", "none"],
        "dsp, warm-up": [
            *gated, *third, "--search-updates", str(updates), "--search-warmup-updates", str(updates - 1),
        ],  # fmt: skip
        # the whole fall of the budget, from H to K, within the run
        "dsp, search": [*gated, *third, "--search-warmup-updates", "0", "--search-updates", str(updates)],
        "dsp, settled": [*gated, *third, "--search-updates", "1"],
        "dsp-published": [*gated, *third, "--pruning-method", "dsp-published"],
        "ste": [*gated, *third, "--pruning-method", "ste"],
        "uniform": [*gated, *third, "--pruning-method", "uniform"],
    }


def words_per_second(data: str, options: "list[str]", updates: int) -> float:
    """Target words per second of one run, from fairseq's own log of every update."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            ["fairseq-train", data, *COMMON, *options, "--max-update", str(updates), "--save-dir", folder],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
        )
    if done.returncode:
        sys.exit(f"training_speed: fairseq-train {' '.join(options)} failed:\n{done.stderr[-2000:]}")
    lines = [line.split("| train_inner |", 1)[1] for line in done.stdout.splitlines() + done.stderr.splitlines()
             if "| train_inner |" in line]
    logs = [json.loads(line) for line in lines][WARM_UP:]
    return sum(float(log["wpb"]) for log in logs) / sum(float(log["wpb"]) / float(log["wps"]) for log in logs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="folder made by fairseq-preprocess")
    parser.add_argument("--shape", choices=SHAPES, default="multi30k")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--updates", type=int, default=40)
    parser.add_argument("--only", nargs="*", default=[], help="variants to time beside stock (default: all)")
    arguments = parser.parse_args()
    chosen = {
        name: options
        for name, options in variants(HEADS[arguments.shape], arguments.updates).items()
        if name == "stock" or not arguments.only or name in arguments.only
    }
    speeds = {name: [] for name in chosen}
    for round_ in range(arguments.runs):
        for name, options in chosen.items():
            speed = words_per_second(arguments.data, [*SHAPES[arguments.shape], *options], arguments.updates)
            speeds[name].append(speed)
            print(f"round {round_ + 1}: {name} {speed:.0f} words/s", file=sys.stderr, flush=True)
    print(f"| {arguments.shape} | words/s | ratio to stock (min to max) |\n| --- | --- | --- |")
    for name, values in speeds.items():
        ratios = [ours / stock for ours, stock in zip(values, speeds["stock"])]
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"| {name} | {statistics.median(values):.0f} | {spread} |")


if __name__ == "__main__":
    main()
