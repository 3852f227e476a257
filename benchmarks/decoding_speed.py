"""Sentences per second of beam search: this project's models against stock fairseq, interleaved.

    python benchmarks/decoding_speed.py DATA_BIN [--rounds 5] [--batches 5] [--batch-size 32] [--only VARIANT ...]
        [--device cuda] [--fp16] [--seconds S] [--json FILE]

IWSLT shape (H = 72), random weights, one thread, beam 5, batches of 32 sentences of the test set of DATA_BIN.
Random weights never choose the end of the sentence: every hypothesis gets as long as its source, so all
variants do the same number of steps. All decode with fairseq's own SequenceGenerator.

* stock: fairseq's `transformer`, as `fairseq-generate` runs it;
* all, 18, 6: `gated_transformer` with so many heads kept, as `fairseq-generate` runs it. Which heads: drawn
  at random, so the blocks are uneven and some are empty;
* 18 and 6 by hand: stock code with the same heads cut out of its weights, and no attention in empty blocks.

They take turns batch by batch, so that a machine that slows down slows all of them. Time is processor time; with
`--device cuda` real time, the GPU's work done. The ratio to stock is taken round by round (a round is all batches),
its median reported, with minimum and maximum.
"""

import argparse
import random
import re
import sys
import time
from argparse import Namespace
from pathlib import Path

import torch
from fairseq import options as fairseq_options
from fairseq import tasks, utils
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from measured import add_arguments, check_device, now, spread, write
from tqdm import tqdm

PROJECT = Path(__file__).resolve().parents[1]
HEADS = {"all": 72, "18": 18, "6": 6}
BY_HAND = ("18 by hand", "6 by hand")
FUSED = re.compile(
    "(in_proj|out_proj|fc1|fc2)_(weight|bias)$"
)  # copies that stock encoder layers make of their weights


class NoAttention(torch.nn.Module):
    """A block without heads, the simplest way: its output bias."""

    def __init__(self, attention):
        super().__init__()
        self.bias = attention.out_proj.bias

    def forward(self, query, *args, **kwargs):
        return self.bias.expand_as(query), None

    def _get_input_buffer(self, incremental_state):
        return {}


def kept_heads(model, count):
    """Heads of each block, drawn from all of the model."""
    drawn = set(random.Random(3).sample(range(72), count))
    return [[head for head in range(4) if 4 * block + head in drawn] for block in range(18)]


def attention_names(model):
    layers = range(6)
    return (
        [f"encoder.layers.{i}.self_attn" for i in layers]
        + [f"decoder.layers.{i}.self_attn" for i in layers]
        + [f"decoder.layers.{i}.encoder_attn" for i in layers]
    )


def cut_by_hand(model, count):
    """Stock modules with fewer heads, as one would do it without this project."""
    for name, heads in zip(attention_names(model), kept_heads(model, count), strict=True):
        layer, _, child = name.rpartition(".")
        attention = model.get_submodule(name)
        if not heads:
            setattr(model.get_submodule(layer), child, NoAttention(attention))
            continue
        rows = torch.cat([torch.arange(128) + 128 * head for head in heads])
        for projection in (attention.q_proj, attention.k_proj, attention.v_proj):
            projection.weight.data, projection.bias.data = projection.weight.data[rows], projection.bias.data[rows]
        attention.out_proj.weight.data = attention.out_proj.weight.data[:, rows].contiguous()
        attention.num_heads, attention.embed_dim = len(heads), len(rows)
        attention.skip_embed_dim_check = True


def build(variant, data, device, fp16):
    """Task, model and generator, prepared as `fairseq-generate` prepares them."""
    flags = [data, "--user-dir", str(PROJECT / "dsp_fairseq"), "--share-all-embeddings"]
    if variant in HEADS:
        flags += ["--arch", "gated_transformer_iwslt_de_en", "--task", "translation_pruning"]
        flags += ["--pruning-method", "uniform", "--heads-to-keep", str(HEADS[variant])]
    else:
        flags += ["--arch", "transformer_iwslt_de_en"]
    sys.argv = ["fairseq-train", *flags]  # fairseq reads --user-dir there
    config = convert_namespace_to_omegaconf(fairseq_options.parse_args_and_arch(fairseq_options.get_training_parser()))
    task = tasks.setup_task(config.task)
    torch.manual_seed(1)
    model = task.build_model(config.model).eval()
    if variant in HEADS:
        mask = torch.zeros(18, 4)
        for block, heads in enumerate(kept_heads(model, HEADS[variant])):
            mask[block, heads] = 1
        model.gates.set_logits(mask.reshape(-1))
        model.eval()
    elif variant in BY_HAND:
        cut_by_hand(model, int(variant.split()[0]))
    if fp16:
        model.half()
    model.to(device).prepare_for_inference_(config)
    arguments = Namespace(beam=5, max_len_a=1.0, max_len_b=0)
    return task, model, task.build_generator([model], arguments)


def batches_of(task, count, sentences, device):
    """So many batches, evenly from all lengths."""
    task.load_dataset("test")
    iterator = task.get_batch_iterator(task.dataset("test"), max_sentences=sentences, max_positions=(1024, 1024))
    batches = list(iterator.next_epoch_itr(shuffle=False))
    chosen = batches[:: max(1, len(batches) // count)][:count]
    return utils.move_to_cuda(chosen) if device == "cuda" else chosen


def seconds_of_rounds(built, batches, given):
    """Seconds of all batches of each variant, round by round; the first round is always made."""
    seconds = {variant: [] for variant in built}
    begin = time.monotonic()
    for number in tqdm(range(given.rounds + 1), desc="round", leave=False):
        if number > 1 and given.seconds and time.monotonic() - begin > given.seconds:
            break
        spent = dict.fromkeys(built, 0.0)
        for batch in batches[:1] if number == 0 else batches:  # the first round warms up
            for variant, (_, model, generator) in built.items():
                start = now(given.device)
                generator.generate([model], batch)
                spent[variant] += now(given.device) - start
        if number:
            for variant in built:
                seconds[variant].append(spent[variant])
    return seconds


def results_of(seconds, built, sentences):
    """Of each variant: sentences/s, ratio to stock round by round, parameters."""
    return [
        {
            "variant": variant,
            "sentences_per_second": spread([sentences / each for each in seconds[variant]]),
            "ratio": spread([stock / own for stock, own in zip(seconds["stock"], seconds[variant], strict=True)]),
            "parameters": sum(p.numel() for name, p in model.named_parameters() if not FUSED.search(name)),
        }
        for variant, (_, model, _) in built.items()
    ]


def show(results, batch_size):
    print(
        f"| IWSLT shape, beam 5, batch {batch_size} | sentences/s | ratio to stock (min to max) | parameters |\n"
        "|---|---|---|---|"
    )
    for row in results:
        ratio = "{median:.2f} ({min:.2f} to {max:.2f})".format(**row["ratio"])
        print(f"| {row['variant']} | {row['sentences_per_second']['median']:.1f} | {ratio} | {row['parameters']:,} |")


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=32, help="sentences (default: %(default)s)")
    parser.add_argument("--seconds", type=float, help="begin no further round after so long")
    parser.add_argument("--fp16", action="store_true", help="half precision")
    parser.add_argument("--only", nargs="+", choices=[*HEADS, *BY_HAND], default=[*HEADS, *BY_HAND])
    add_arguments(parser)
    return parser.parse_args()


def main():
    given = read_arguments()
    check_device(given.device)
    torch.set_num_threads(1)
    utils.import_user_module(Namespace(user_dir=str(PROJECT / "dsp_fairseq")))
    variants = ["stock", *given.only]
    built = {variant: build(variant, given.data, given.device, given.fp16) for variant in variants}
    batches = batches_of(built["stock"][0], given.batches, given.batch_size, given.device)
    seconds = seconds_of_rounds(built, batches, given)
    results = results_of(seconds, built, sum(len(batch["id"]) for batch in batches))
    show(results, given.batch_size)
    if "18" in built:
        print("kept of 18:", " ".join(str(a.num_heads) for a in built["18"][1].gated_blocks))
    if given.json:
        settings = {"shape": "iwslt", "heads": 72, "beam": 5, "batch_size": given.batch_size, "batches": len(batches)}
        settings.update(device=given.device, fp16=given.fp16, rounds=len(seconds["stock"]))
        write(given.json, "decoding", given.device, settings, results)


if __name__ == "__main__":
    main()
