"""A corpus of random words, binarised, for measuring speed where there is no other.

    python benchmarks/random_corpus.py DIR [--types 10000] [--pairs 12000] [--test 1000]

Sentences have 5 to 45 words, 25 on average, about as IWSLT and WMT have in BPE; the target has the length of its
source. One dictionary for both languages, de and en. The time of an update or of a decoding step depends on
sizes, not on which words they are.
"""

import argparse
from pathlib import Path

import torch
from fairseq.data import Dictionary
from fairseq.data.indexed_dataset import make_builder

SHORTEST, LONGEST = 5, 45
LANGUAGES = ("de", "en")


def dictionary_of(types: int) -> Dictionary:
    """Special symbols count among the types."""
    dictionary = Dictionary()
    for word in range(types - len(dictionary)):
        dictionary.add_symbol(f"w{word}")
    return dictionary


def write_split(prefix: Path, dictionary: Dictionary, pairs: int, seed: int) -> None:
    """``prefix``.{de,en}.{bin,idx}"""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(SHORTEST, LONGEST + 1, (pairs,), generator=generator).tolist()
    for language in LANGUAGES:
        builder = make_builder(f"{prefix}.{language}.bin", "mmap", vocab_size=len(dictionary))
        for length in lengths:
            words = torch.randint(dictionary.nspecial, len(dictionary), (length,), generator=generator)
            builder.add_item(torch.cat([words, torch.tensor([dictionary.eos()])]))
        builder.finalize(f"{prefix}.{language}.idx")


def write_corpus(folder: Path, types: int, pairs: int, test: int) -> None:
    """A folder as fairseq-preprocess leaves it."""
    folder.mkdir(parents=True, exist_ok=True)
    dictionary = dictionary_of(types)
    for language in LANGUAGES:
        dictionary.save(str(folder / f"dict.{language}.txt"))
    for seed, (split, count) in enumerate({"train": pairs, "valid": test, "test": test}.items()):
        write_split(folder / f"{split}.de-en", dictionary, count, seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--types", type=int, default=10_000)
    parser.add_argument("--pairs", type=int, default=12_000, help="of the training set")
    parser.add_argument("--test", type=int, default=1_000, help="pairs of the validation and of the test set")
    given = parser.parse_args()
    write_corpus(given.folder, given.types, given.pairs, given.test)


if __name__ == "__main__":
    main()
