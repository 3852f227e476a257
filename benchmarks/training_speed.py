"""Words per second of training: gated methods against the stock transformer, interleaved.

    python benchmarks/training_speed.py DATA_BIN [--shape multi30k|iwslt|wmt-big] [--keep K] [--runs 5] [--updates 40]
        [--max-tokens 2048] [--only VARIANT ...] [--device cuda] [--fp16] [--seconds S] [--json FILE]

Every variant is a model, criterion and optimiser in fairseq's own Trainer, all in one process on one
core, and with `--device cuda` on one GPU. They take turns update by update on the same batches, so that
a machine that slows down slows all of them. Time is processor time; with a GPU real time, its work done.
A run is `--updates` updates of each; the ratio to stock is taken run by run, and its median reported. The
phases of `dsp` are timed apart: all heads open (warm-up), choosing (search: the budget falls over all runs
together), under the final mask (settled); with half of the prunable parameters heads and groups of 16 hidden
units compete. The teacher is as large as the model that it teaches. `dsp-published` samples K heads in every
update, `movement` applies the masks that leave 35% of the weights.
"""

import argparse
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

import torch
from fairseq import options as fairseq_options
from fairseq import tasks
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq.logging import metrics
from fairseq.trainer import Trainer
from measured import add_arguments, check_device, now, spread, write
from tqdm import tqdm

PROJECT = Path(__file__).resolve().parents[1]
COMMON = """--share-all-embeddings --optimizer adam --adam-betas (0.9,0.98) --lr-scheduler inverse_sqrt
 --warmup-updates 400 --dropout 0.1 --weight-decay 1e-4 --label-smoothing 0.1 --seed 1
 --distributed-world-size 1""".split()
SHAPES = {
    "multi30k": """--encoder-layers 3 --decoder-layers 3 --encoder-embed-dim 128 --decoder-embed-dim 128
 --encoder-ffn-embed-dim 256 --decoder-ffn-embed-dim 256 --lr 5e-3""".split(),
    "iwslt": ["--lr", "5e-4"],
    "wmt-big": ["--lr", "5e-4"],
}
ARCH = {  # of the stock model
    "multi30k": "transformer_iwslt_de_en",
    "iwslt": "transformer_iwslt_de_en",
    "wmt-big": "transformer_vaswani_wmt_en_de_big",
}
HEADS = {"multi30k": 36, "iwslt": 72, "wmt-big": 288}
WARM_UP = 3  # updates of each variant that are not counted


def variants(shape: str, keep: int, updates: int, trained: str) -> "dict[str, list[str]]":
    """Flags of each variant, ``keep`` is K.

    ``updates`` are those of all runs together; ``trained`` is a checkpoint of the stock model.
    """
    heads = HEADS[shape]
    stock = ["--arch", ARCH[shape], "--criterion", "label_smoothed_cross_entropy"]
    gated = ["--user-dir", str(PROJECT / "dsp_fairseq"), "--arch", f"gated_{ARCH[shape]}"]
    gated += ["--task", "translation_pruning", "--criterion", "dsp_label_smoothed_cross_entropy"]
    pruned = [*gated, "--heads-to-keep", str(keep)]
    return {
        "stock": stock,
        "none": [*gated, "--pruning-method", "none"],
        "dsp, warm-up": [*pruned, "--search-updates", str(updates + 1), "--search-warmup-updates", str(updates)],
        "dsp, search": [*pruned, "--search-updates", str(updates), "--search-warmup-updates", "0"],
        "dsp, settled": [*pruned, "--search-updates", "1"],
        "dsp-published": [*pruned, "--pruning-method", "dsp-published"],
        "ste": [*pruned, "--pruning-method", "ste"],
        "l0": [*pruned, "--pruning-method", "l0", "--l0-penalty", "0.01"],
        "dsp, any K": [*gated, "--heads-to-keep-range", f"{heads // 9}:{heads // 3}", "--search-updates", "1"],
        "dsp, pipelined": [
            *(*pruned, "--search-updates", str(updates)),
            *("--pruning-mode", "pipelined", "--finetune-from-model", trained),
        ],
        "dsp, half of the parameters, search": [
            *(*gated, "--parameters-to-keep", "50%", "--ffn-group", "16"),
            *("--search-updates", str(updates), "--search-warmup-updates", "0"),
        ],
        "dsp, half of the parameters, settled": [
            *(*gated, "--parameters-to-keep", "50%", "--ffn-group", "16", "--search-updates", "1")
        ],
        "none, with the stock model as teacher": [*gated, "--pruning-method", "none", "--teacher", trained],
        "movement": [
            *(*gated, "--pruning-method", "movement", "--weights-to-keep", "35%"),
            *("--pruning-start", "0", "--pruning-end", f"{2 / updates:g}"),
        ],
        "uniform": [*pruned, "--pruning-method", "uniform"],
    }


def precision(device: str, fp16: bool) -> "list[str]":
    """fairseq's flags; its flat copy of the weights in fp32 needs a GPU."""
    flags = ["--cpu"] if device == "cpu" else []
    if fp16:
        flags += ["--fp16"] if device == "cuda" else ["--fp16", "--fp16-no-flatten-grads"]
    return flags


def trainer_of(data: str, flags: "list[str]", folder: str) -> Trainer:
    sys.argv = ["fairseq-train", data, *COMMON, *flags, "--save-dir", folder]  # fairseq reads --user-dir there
    arguments = fairseq_options.parse_args_and_arch(fairseq_options.get_training_parser(), sys.argv[1:])
    cfg = convert_namespace_to_omegaconf(arguments)
    task = tasks.setup_task(cfg.task)
    trainer = Trainer(cfg, task, task.build_model(cfg.model), task.build_criterion(cfg.criterion))
    task.load_dataset("train")
    return trainer


def trainers_of(given, keep: int, total: int, folder: str) -> "dict[str, Trainer]":
    """One per variant, stock first; ``total`` updates are planned. A checkpoint of stock goes into the folder."""
    shape = [*SHAPES[given.shape], "--max-tokens", given.max_tokens, "--max-update", str(total + 1)]
    shape += precision(given.device, given.fp16)
    trainers = {}
    trained = f"{folder}/stock.pt"
    flags_of = variants(given.shape, keep, total, trained)
    for name in [name for name in flags_of if name == "stock" or not given.only or name in given.only]:
        trainers[name] = trainer_of(given.data, [*shape, *flags_of[name]], folder)
        if name == "movement":  # whose schedule has shares of a length that no epoch has told it here
            trainers[name].model.gates.plan_search(0, total, 1.0, total)
        if name == "stock":
            trainers[name].consolidate_optimizer()
            trainers[name].save_checkpoint(trained, {"train_iterator": {"epoch": 1}})
    return trainers


def batches_of(trainer: Trainer, count: int) -> list:
    """As many, or all that an epoch has."""
    iterator = trainer.get_train_iterator(1, load_dataset=False).next_epoch_itr()
    return list(islice(iterator, count))


def seconds_of(trainer: Trainer, batch, device: str) -> float:
    start = now(device)
    trainer.train_step([batch])
    return now(device) - start


def seconds_of_runs(trainers: "dict[str, Trainer]", batches: list, given) -> "dict[str, list[float]]":
    """Seconds of all updates of each variant, run by run; the first run is always made."""
    found = {name: [] for name in trainers}
    begin = time.monotonic()
    for number in range(given.runs):
        if number and given.seconds and time.monotonic() - begin > given.seconds:
            break
        spent = dict.fromkeys(trainers, 0.0)
        for batch in tqdm(batches, desc="run", leave=False):
            for name, trainer in trainers.items():
                spent[name] += seconds_of(trainer, batch, given.device)
        for name, seconds in spent.items():
            found[name].append(seconds)
    return found


def results_of(seconds: "dict[str, list[float]]", words: int, updates: int) -> "list[dict]":
    """Of each variant: words/s, milliseconds of an update, ratio to stock run by run."""
    return [
        {
            "variant": name,
            "words_per_second": spread([words / each for each in own]),
            "milliseconds": spread([1e3 * each / updates for each in own]),
            "ratio": spread([stock / each for stock, each in zip(seconds["stock"], own, strict=True)]),
        }
        for name, own in seconds.items()
    ]


def show(results: "list[dict]", title: str) -> None:
    print(f"| {title} | words/s | ratio to stock (min to max) |")
    print("| --- | --- | --- |")
    for row in results:
        ratio = "{median:.2f} ({min:.2f} to {max:.2f})".format(**row["ratio"])
        print(f"| {row['variant']} | {row['words_per_second']['median']:.0f} | {ratio} |")


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="folder made by fairseq-preprocess")
    parser.add_argument("--shape", choices=SHAPES, default="multi30k")
    parser.add_argument("--keep", type=int, help="K (default: a third of the heads)")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--updates", type=int, default=40)
    parser.add_argument("--seconds", type=float, help="begin no further run after so long")
    parser.add_argument("--max-tokens", default="2048", help="tokens of a batch, the unit of fairseq-train")
    parser.add_argument("--fp16", action="store_true", help="half precision, as of fairseq-train")
    parser.add_argument("--only", nargs="*", default=[], help="variants to time beside stock (default: all)")
    add_arguments(parser)
    return parser.parse_args()


def main() -> None:
    given = read_arguments()
    check_device(given.device)
    torch.set_num_threads(1)
    metrics.reset()
    heads = HEADS[given.shape]
    keep = heads // 3 if given.keep is None else given.keep
    with tempfile.TemporaryDirectory() as folder:  # until the end, for the teacher is read at the first update
        trainers = trainers_of(given, keep, WARM_UP + given.runs * given.updates, folder)
        batches = batches_of(trainers["stock"], WARM_UP + given.updates)
        for trainer in trainers.values():
            for batch in batches[:WARM_UP]:
                seconds_of(trainer, batch, given.device)
        counted = batches[WARM_UP:]
        seconds = seconds_of_runs(trainers, counted, given)
    results = results_of(seconds, sum(batch["ntokens"] for batch in counted), len(counted))
    show(results, f"{given.shape}, {given.max_tokens} tokens")
    if given.json:
        settings = {"shape": given.shape, "heads": heads, "keep": keep, "max_tokens": int(given.max_tokens)}
        settings.update(device=given.device, fp16=given.fp16, runs=len(seconds["stock"]), updates=len(counted))
        write(given.json, "training", given.device, settings, results)


if __name__ == "__main__":
    main()
