"""Sentences per second of beam search: this project's models against stock fairseq, interleaved.

    python benchmarks/decoding_speed.py DATA_BIN [--rounds 5] [--batches 5] [--only VARIANT ...]

IWSLT shape (H = 72), random weights, one thread, beam 5, batches of 32 sentences of the test set of DATA_BIN.
Random weights never choose the end of the sentence: every hypothesis gets as long as its source, so all
variants do the same number of steps. All decode with fairseq's own SequenceGenerator.

* stock: fairseq's `transformer`, as `fairseq-generate` runs it;
* all, 18, 6: `gated_transformer` with so many heads kept, as `fairseq-generate` runs it. Which heads: drawn
  at random, so the blocks are uneven and some are empty;
* 18 and 6 by hand: stock code with the same heads cut out of its weights, and no attention in empty blocks.

They take turns batch by batch, so that a machine that slows down slows all of them. Time is processor time. The
ratio to stock is taken round by round (a round is all batches), its median reported, with minimum and maximum.
"""

import argparse
import random
import statistics
import sys
import time
from argparse import Namespace
from pathlib import Path

import torch
from fairseq import options as fairseq_options
from fairseq import tasks, utils
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from tqdm import tqdm

PROJECT = Path(__file__).resolve().parents[1]
HEADS = {"all": 72, "18": 18, "6": 6}
BY_HAND = ("18 by hand", "6 by hand")


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
    for name, heads in zip(attention_names(model), kept_heads(model, count)):
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


def build(variant, data):
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
        model.gates.logits.data.copy_(mask.reshape(-1))
        model.eval()
    elif variant in BY_HAND:
        cut_by_hand(model, int(variant.split()[0]))
    model.prepare_for_inference_(config)
    arguments = Namespace(beam=5, max_len_a=1.0, max_len_b=0)
    return task, model, task.build_generator([model], arguments)


def batches_of(task, count):
    task.load_dataset("test")
    batches = list(
        task.get_batch_iterator(task.dataset("test"), max_sentences=32, max_positions=(1024, 1024)).next_epoch_itr(
            shuffle=False
        )
    )
    return batches[:: max(1, len(batches) // count)][:count]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=[*HEADS, *BY_HAND], default=[*HEADS, *BY_HAND])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    utils.import_user_module(Namespace(user_dir=str(PROJECT / "dsp_fairseq")))
    built = {variant: build(variant, arguments.data) for variant in ["stock", *arguments.only]}
    batches = batches_of(built["stock"][0], arguments.batches)
    seconds = {variant: [] for variant in built}
    for number in tqdm(range(arguments.rounds + 1), desc="round", leave=False):
        spent = dict.fromkeys(built, 0.0)
        for batch in batches[:1] if number == 0 else batches:  # the first round warms up
            for variant, (_, model, generator) in built.items():
                start = time.process_time()
                generator.generate([model], batch)
                spent[variant] += time.process_time() - start
        if number:
            for variant in built:
                seconds[variant].append(spent[variant])
    sentences = sum(len(batch["id"]) for batch in batches)
    print("| IWSLT shape, beam 5, batch 32 | sentences/s | ratio to stock (min to max) | parameters |\n|---|---|---|---|")
    for variant, (_, model, _) in built.items():
        ratios = [stock / own for stock, own in zip(seconds["stock"], seconds[variant])]
        size = sum(p.numel() for p in {id(p): p for p in model.parameters()}.values())
        print(
            f"| {variant} | {sentences / statistics.median(seconds[variant]):.1f} | "
            f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) | {size:,} |"
        )
    if "18" in built:
        print("kept of 18:", " ".join(str(a.num_heads) for a in built["18"][1].attention))


if __name__ == "__main__":
    main()
