"""Every Nth pair is for validation, the others are for training, as in fairseq's scripts.

    python -m corpus.split IN FOLDER SOURCE TARGET --every 23

IN is a prefix. Lines N, 2N, 3N ... counted from 1 go to FOLDER/valid.*, the others to FOLDER/train.*.
"""

import argparse
import contextlib
from pathlib import Path

from .problem import Problem, run
from .text import pairs_of


def main() -> None:
    parser = argparse.ArgumentParser(description="Split a corpus into training and validation.")
    parser.add_argument("given")
    parser.add_argument("folder", type=Path)
    parser.add_argument("languages", nargs=2)
    parser.add_argument("--every", type=int, required=True)
    options = parser.parse_args()
    inputs = [Path(f"{options.given}.{language}") for language in options.languages]
    counts = {"train": 0, "valid": 0}
    with contextlib.ExitStack() as stack:
        files = {
            split: [stack.enter_context(open(options.folder / f"{split}.{side}", "wb")) for side in options.languages]
            for split in counts
        }
        for number, pair in enumerate(pairs_of(*inputs), 1):
            split = "train" if number % options.every else "valid"
            counts[split] += 1
            for file, line in zip(files[split], pair, strict=True):
                file.write(line.encode() + b"\n")
    if 0 in counts.values():
        raise Problem(f"{options.given}: too few pairs to keep every {options.every}th for validation: {counts}")
    print(f"train: {counts['train']} pairs, valid: {counts['valid']} pairs")


if __name__ == "__main__":
    run(main)
