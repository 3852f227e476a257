"""Words per second of training: gated methods against the stock transformer, interleaved.

    python benchmarks/training_speed.py DATA_BIN [--shape multi30k|iwslt] [--runs 5] [--updates 40]
        [--max-tokens 2048] [--only VARIANT ...]

Every variant is a model, criterion and optimiser in fairseq's own Trainer, all in one process on one
core. They take turns update by update on the same batches, so that a machine that slows down slows
all of them. Time is processor time. A run is `--updates` updates of each; the ratio to stock is
taken run by run, and its median reported. The phases of `dsp` are timed apart: all heads open
(warm-up), choosing (search: the budget falls over all runs together), under the final mask (settled).
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from fairseq import options as fairseq_options
from fairseq import tasks
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq.logging import metrics
from fairseq.trainer import Trainer
from tqdm import tqdm

PROJECT = Path(__file__).resolve().parents[1]
COMMON = """--share-all-embeddings --optimizer adam --adam-betas (0.9,0.98) --lr 5e-3
 --lr-scheduler inverse_sqrt --warmup-updates 400 --dropout 0.1 --weight-decay 1e-4 --label-smoothing 0.1
 --cpu --seed 1""".split()
SHAPES = {
    "multi30k": """--encoder-layers 3 --decoder-layers 3 --encoder-embed-dim 128 --decoder-embed-dim 128
 --encoder-ffn-embed-dim 256 --decoder-ffn-embed-dim 256""".split(),
    "iwslt": [],
}
HEADS = {"multi30k": 36, "iwslt": 72}
WARM_UP = 3  # updates of each variant that are not counted


def variants(heads: int, updates: int, trained: str) -> "dict[str, list[str]]":
    """Flags of each variant; K is a third of the heads.

    ``updates`` are those of all runs together; ``trained`` is a checkpoint of the stock model.
    """
    stock = ["--arch", "transformer_iwslt_de_en", "--criterion", "label_smoothed_cross_entropy"]
    gated = ["--user-dir", str(PROJECT / "dsp_fairseq"), "--arch", "gated_transformer_iwslt_de_en"]
    gated += ["--task", "translation_pruning", "--criterion", "dsp_label_smoothed_cross_entropy"]
    third = [*gated, "--heads-to-keep", str(heads // 3)]
    return {
        "stock": stock,
        "none": [*gated, "--pruning-method", "none"],
        "dsp, warm-up": [*third, "--search-updates", str(updates + 1), "--search-warmup-updates", str(updates)],
        "dsp, search": [*third, "--search-updates", str(updates), "--search-warmup-updates", "0"],
        "dsp, settled": [*third, "--search-updates", "1"],
        "dsp-published": [*third, "--pruning-method", "dsp-published"],
        "ste": [*third, "--pruning-method", "ste"],
        "l0": [*third, "--pruning-method", "l0", "--l0-penalty", "0.01"],
        "dsp, any K": [*gated, "--heads-to-keep-range", f"{heads // 9}:{heads // 3}", "--search-updates", "1"],
        "dsp, pipelined": [
            *(*third, "--search-updates", str(updates)),
            *("--pruning-mode", "pipelined", "--finetune-from-model", trained),
        ],
        "uniform": [*third, "--pruning-method", "uniform"],
    }


def trainer_of(data: str, flags: "list[str]", folder: str) -> Trainer:
    sys.argv = ["fairseq-train", data, *COMMON, *flags, "--save-dir", folder]  # fairseq reads --user-dir there
    arguments = fairseq_options.parse_args_and_arch(fairseq_options.get_training_parser(), sys.argv[1:])
    cfg = convert_namespace_to_omegaconf(arguments)
    task = tasks.setup_task(cfg.task)
    trainer = Trainer(cfg, task, task.build_model(cfg.model), task.build_criterion(cfg.criterion))
    task.load_dataset("train")
    return trainer


def batches_of(trainer: Trainer, count: int) -> list:
    iterator = trainer.get_train_iterator(1, load_dataset=False).next_epoch_itr()
    return [batch for batch, _ in zip(iterator, range(count))]


def seconds_of(trainer: Trainer, batch) -> float:
    start = time.process_time()
    trainer.train_step([batch])
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="folder made by fairseq-preprocess")
    parser.add_argument("--shape", choices=SHAPES, default="multi30k")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--updates", type=int, default=40)
    parser.add_argument("--max-tokens", default="2048", help="tokens of a batch, the unit of fairseq-train")
    parser.add_argument("--only", nargs="*", default=[], help="variants to time beside stock (default: all)")
    given = parser.parse_args()
    torch.set_num_threads(1)
    metrics.reset()
    total = WARM_UP + given.runs * given.updates
    shape = [*SHAPES[given.shape], "--max-tokens", given.max_tokens, "--max-update", str(total + 1)]
    trainers = {}
    with tempfile.TemporaryDirectory() as folder:
        trained = f"{folder}/stock.pt"
        for name, flags in variants(HEADS[given.shape], total, trained).items():
            if name == "stock" or not given.only or name in given.only:
                trainers[name] = trainer_of(given.data, [*shape, *flags], folder)
            if name == "stock":
                trainers[name].consolidate_optimizer()
                trainers[name].save_checkpoint(trained, {"train_iterator": {"epoch": 1}})
    batches = batches_of(trainers["stock"], WARM_UP + given.updates)
    for trainer in trainers.values():
        for batch in batches[:WARM_UP]:
            seconds_of(trainer, batch)
    speeds = {name: [] for name in trainers}
    words = sum(batch["ntokens"] for batch in batches[WARM_UP:])
    for _ in range(given.runs):
        seconds = dict.fromkeys(trainers, 0.0)
        for batch in tqdm(batches[WARM_UP:], desc="run", leave=False):
            for name, trainer in trainers.items():
                seconds[name] += seconds_of(trainer, batch)
        for name, spent in seconds.items():
            speeds[name].append(words / spent)
    print(f"| {given.shape}, {given.max_tokens} tokens | words/s | ratio to stock (min to max) |")
    print("| --- | --- | --- |")
    for name, values in speeds.items():
        ratios = [ours / stock for ours, stock in zip(values, speeds["stock"])]
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"| {name} | {statistics.median(values):.0f} | {spread} |")


if __name__ == "__main__":
    main()
