"""A tiny corpus of letters and models of it, made by fairseq's commands in this process."""

import importlib
import random
import sys
from unittest import mock

from fairseq.data import Dictionary

SHAPE = [
    word
    for side in ("encoder", "decoder")
    for word in (f"--{side}-layers 1 --{side}-embed-dim 8 --{side}-ffn-embed-dim 8 --{side}-attention-heads 2").split()
]
TRAINING = "--optimizer adam --lr 0.01 --max-tokens 300 --max-update 1 --cpu --num-workers 0 --log-format none".split()
POSITIONS = "--max-source-positions 30 --max-target-positions 30".split()
STOCK = ["--arch", "transformer"]
GATED = "--arch gated_transformer --task translation_pruning --criterion dsp_label_smoothed_cross_entropy".split()


def call(command, *arguments):
    """Run `fairseq-COMMAND` in this process with these arguments."""
    module = importlib.import_module(f"fairseq_cli.{command}")
    with mock.patch.object(sys, "argv", [f"fairseq-{command}", *map(str, arguments)]):
        return module.cli_main()


def write_dictionaries(folder):
    """Write dictionaries of eight letters, for both languages and for a language model."""
    words = Dictionary()
    for word in "abcdefgh":
        words.add_symbol(word)
    for name in ("dict.de.txt", "dict.en.txt", "dict.txt"):
        words.save(str(folder / name))
    return folder


def write_corpus(folder):
    """Write a parallel corpus whose targets are reversed sources; the test set has words outside the dictionaries."""
    letter = random.Random(1)
    for split, size in (("train", 60), ("valid", 6), ("test", 9)):
        sentences = [letter.choices("abcdef", k=letter.randint(2, 5)) for _ in range(size)]
        if split == "test":
            sentences[3], sentences[5] = ["a", "zebra", "b"], ["yak"]
        for language, step in (("de", 1), ("en", -1)):
            text = "".join(" ".join(words[::step]) + "\n" for words in sentences)
            (folder / f"{split}.{language}").write_text(text)
    return folder


def binarise(folder, name, *options):
    texts = [word for split in ("train", "valid", "test") for word in (f"--{split}pref", folder / split)]
    call("preprocess", "-s", "de", "-t", "en", *texts, "--destdir", folder / name, *options)
    return folder / name


def train(data, save_dir, *options):
    call("train", data, *SHAPE, *TRAINING, *POSITIONS, *options, "--save-dir", save_dir, "--no-epoch-checkpoints")
    return save_dir / "checkpoint_last.pt"
