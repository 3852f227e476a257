"""Seconds of beam search in CTranslate2: exports with fewer heads against the unpruned export, interleaved.

    python benchmarks/ctranslate2_speed.py [--quantization int8|float16|none] [--rounds 9] [--batches 3]

WMT base shape (d 512, ffn 2048, 6+6 layers of 8 heads, H = 144), random weights, 10000 words, one thread, beam 5,
batches of 32 sentences of 8 to 20 random words. Random weights do not know the end of a sentence: every translation
gets 16 words. Everything is exported by `dsp_fairseq.export`, which checks the scores against fairseq.

* all: 144 heads;
* 48, at most 3 per block: the most important of random logits under `--max-heads-per-block 3`;
* 48: the most important of the same logits, uneven, so that blocks are padded to the largest of their stack.

They take turns batch by batch, so that a machine that slows down slows all of them. Time is processor time. The ratio
to `all` is taken round by round (a round is all batches), its median reported, with minimum and maximum.
"""

import argparse
import random
import statistics
import sys
import tempfile
import time
from argparse import Namespace
from pathlib import Path

import ctranslate2
import torch
from fairseq.data import Dictionary
from fairseq.models.transformer.transformer_legacy import transformer_wmt_en_de

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from dsp_fairseq.export import QUANTIZATIONS
from dsp_fairseq.export.convert import export
from dsp_fairseq.models.gated_transformer import GatedTransformerModel

WORDS, HEADS = 10_000, 144
VARIANTS = {
    "all": {"heads_to_keep": HEADS},
    "48, at most 3 per block": {"heads_to_keep": 48, "max_heads_per_block": 3},
    "48": {"heads_to_keep": 48},
}
LENGTH = 16  # words of every translation


def dictionary_of(folder):
    dictionary = Dictionary()
    for word in range(WORDS - len(dictionary)):
        dictionary.add_symbol(f"word{word}")
    dictionary.save(str(folder / "dict.de.txt"))
    dictionary.save(str(folder / "dict.en.txt"))
    return dictionary


def options_of_base():
    options = Namespace(arch="gated_transformer_wmt_en_de", share_all_embeddings=True, pruning_method="ste")
    transformer_wmt_en_de(options)
    return options


def checkpoint_of(folder, options, weights):
    """A checkpoint as training writes it."""
    task = {"data": str(folder), "source_lang": "de", "target_lang": "en"}
    untrained = {"optimizer_history": [{"num_updates": 0, "lr_scheduler_state": {}}], "extra_state": {}}
    state = {"args": None, "cfg": {"model": options, "task": task}, "model": weights, **untrained}
    torch.save(state, folder / "checkpoint.pt")
    return str(folder / "checkpoint.pt")


def translators(folder, quantization):
    """One per variant, exported from the same weights."""
    dictionary = dictionary_of(folder)
    torch.manual_seed(1)
    task = Namespace(source_dictionary=dictionary, target_dictionary=dictionary)
    options = vars(options_of_base())
    model = GatedTransformerModel.build_model(Namespace(**options, **VARIANTS["all"]), task)
    model.gates.set_logits(torch.randn_like(model.gates.logits))
    found = {}
    for number, (name, pruning) in enumerate(VARIANTS.items()):
        checkpoint = checkpoint_of(folder, Namespace(**options, **pruning), model.state_dict())
        done = export(checkpoint, str(folder / str(number)), quantization)
        sizes = " ".join(map(str, done.after.sizes))
        print(f"{name}: {sizes} heads; {done.bytes[1]:,} bytes; fp32 off by {done.difference:.1e}")
        found[name] = ctranslate2.Translator(str(folder / str(number)), inter_threads=1, intra_threads=1)
    return found


def batches_of(count):
    drawn = random.Random(1)
    return [
        [[f"word{drawn.randrange(WORDS - 4)}" for _ in range(drawn.randint(8, 20))] for _ in range(32)]
        for _ in range(count)
    ]


def seconds_of(translator, batch):
    start = time.process_time()
    translator.translate_batch(batch, beam_size=5, min_decoding_length=LENGTH, max_decoding_length=LENGTH)
    return time.process_time() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quantization", choices=QUANTIZATIONS, default="int8")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--batches", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        models = translators(Path(folder), given.quantization)
    batches = batches_of(given.batches)
    for translator in models.values():
        seconds_of(translator, batches[0])  # warm-up
    rounds = {name: [] for name in models}
    for _ in range(given.rounds):
        spent = dict.fromkeys(models, 0.0)
        for batch in batches:
            for name, translator in models.items():
                spent[name] += seconds_of(translator, batch)
        for name, seconds in spent.items():
            rounds[name].append(seconds)
    print(f"| heads of {HEADS}, {given.quantization} | sentences/s | times as fast (min to max) |")
    print("| --- | --- | --- |")
    for name, seconds in rounds.items():
        ratios = [full / own for full, own in zip(rounds["all"], seconds, strict=True)]
        speed = 32 * given.batches / statistics.median(seconds)
        print(f"| {name} | {speed:.1f} | {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) |")


if __name__ == "__main__":
    main()
