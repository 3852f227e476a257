"""Subword units shared by both languages: byte pair encoding by subword-nmt, or SentencePiece.

    python -m corpus.subwords learn {bpe,sentencepiece} MODEL --size N FILE FILE
    python -m corpus.subwords apply {bpe,sentencepiece} MODEL IN OUT [--jobs N]

Both are learned on the training text of the two languages together. The libraries are given lines, not file names:
their own readers also end lines at U+0085 and U+2028.
"""

import argparse
import functools
import os
from itertools import chain
from pathlib import Path

import sentencepiece
from subword_nmt.apply_bpe import BPE
from subword_nmt.learn_bpe import learn_bpe

from .parallel import LineFunction, map_lines
from .problem import Problem, run
from .text import lines_of

SAMPLE = 10_000_000  # lines SentencePiece is learned from at most: all of these corpora, and a bound on memory


def bpe_function(codes: str) -> LineFunction:
    with open(codes, encoding="utf-8") as file:
        return BPE(file).process_line


def sentencepiece_function(model: str) -> LineFunction:
    processor = sentencepiece.SentencePieceProcessor(model_file=model)
    return lambda line: " ".join(processor.encode(line, out_type=str))


def learn_codes(files: list[Path], model: Path, merges: int, _jobs: int) -> None:
    text = chain.from_iterable(lines_of(file) for file in files)
    with open(model, "w", encoding="utf-8", newline="\n") as codes:
        learn_bpe(text, codes, merges)


def learn_pieces(files: list[Path], model: Path, size: int, jobs: int) -> None:
    """Every character of the training text is covered: European languages have few."""
    with open(model, "wb") as file:
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=chain.from_iterable(lines_of(file) for file in files),
                model_writer=file,
                vocab_size=size,
                character_coverage=1.0,
                input_sentence_size=SAMPLE,
                shuffle_input_sentence=True,
                num_threads=jobs,
                minloglevel=1,
            )
        except RuntimeError as error:
            raise Problem(f"SentencePiece refuses --subwords {size}: {error}: choose another number") from error


LEARN = {"bpe": learn_codes, "sentencepiece": learn_pieces}
FUNCTIONS = {"bpe": bpe_function, "sentencepiece": sentencepiece_function}


def main() -> None:
    parser = argparse.ArgumentParser(description="Learn and apply subword units.")
    parser.add_argument("step", choices=("learn", "apply"))
    parser.add_argument("kind", choices=tuple(LEARN))
    parser.add_argument("model", type=Path)
    parser.add_argument("files", type=Path, nargs=2)
    parser.add_argument("--size", type=int)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    given = parser.parse_args()
    if given.step == "learn":
        LEARN[given.kind](given.files, given.model, given.size, given.jobs)
    else:
        map_lines(*given.files, functools.partial(FUNCTIONS[given.kind], str(given.model)), given.jobs)


if __name__ == "__main__":
    run(main)
