"""Runs fairseq's commands in this process, on a corpus of a few letters, and returns how they end."""

import importlib
import random
import sys

from in_process import status_of

LANGUAGES = ("--source-lang", "de", "--target-lang", "en")
TINY = (
    *(
        "--arch",
        "transformer",
        "--encoder-layers",
        "1",
        "--decoder-layers",
        "1",
        "--optimizer",
        "adam",
        "--lr",
        "0.001",
    ),
    *("--encoder-embed-dim", "8", "--encoder-ffn-embed-dim", "8", "--encoder-attention-heads", "2"),
    *("--decoder-embed-dim", "8", "--decoder-ffn-embed-dim", "8", "--decoder-attention-heads", "2"),
    *("--max-tokens", "100", "--cpu", "--num-workers", "0", "--log-format", "simple", "--no-epoch-checkpoints"),
)


def run(command, *arguments, monkeypatch, capsys):
    """Run a command in this process; returns its exit status and the error lines on its standard error."""
    module = importlib.import_module(f"fairseq_cli.{command}")
    monkeypatch.setattr(sys, "argv", [f"fairseq-{command}", *map(str, arguments)])
    monkeypatch.delenv("DSP_DEBUG", raising=False)
    status = status_of(module, "cli_main")
    errors = [
        line
        for line in capsys.readouterr().err.splitlines()
        if line.startswith(f"fairseq-{command.replace('_', '-')}: error: ")
    ]
    return status, errors


def write_texts(folder, **sizes):
    letter = random.Random(1)
    for split, size in sizes.items():
        sentences = [letter.choices("abcdef", k=letter.randint(2, 6)) for _ in range(size)]
        (folder / f"{split}.de").write_text("".join(" ".join(words) + "\n" for words in sentences))
        (folder / f"{split}.en").write_text("".join(" ".join(reversed(words)) + "\n" for words in sentences))
