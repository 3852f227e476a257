"""Drop the pairs that are empty, too long or too unequal, as Moses' clean-corpus-n.perl does.

    python -m corpus.clean IN OUT SOURCE TARGET --max 175 [--min 1] [--ratio 1.5]

IN and OUT are prefixes: IN.SOURCE, IN.TARGET. Words are what blanks separate. Unlike Moses' script this one leaves a
vertical bar alone: there it would mark a factor, and in tokenised text it is &#124; anyway.
"""

import argparse
from collections import Counter
from pathlib import Path

from .problem import Problem, run
from .text import pairs_of

LONGEST_WORD = 1000  # characters; Moses' limit, such words are never words


def fault(source: list[str], target: list[str], shortest: int, longest: int, ratio: float) -> str | None:
    """Why a pair is dropped, or None."""
    few, many = sorted((len(source), len(target)))
    if few == 0:
        return "empty"
    if few < shortest:
        return "too short"
    if many > longest:
        return "too long"
    if many / few > ratio:
        return "too unequal"
    if max(map(len, source + target)) > LONGEST_WORD:
        return "no words"
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description="Drop pairs by length and ratio.")
    parser.add_argument("given")
    parser.add_argument("cleaned")
    parser.add_argument("languages", nargs=2)
    parser.add_argument("--min", type=int, default=1)
    parser.add_argument("--max", type=int, required=True)
    parser.add_argument("--ratio", type=float, default=9)
    options = parser.parse_args()
    inputs = [Path(f"{options.given}.{language}") for language in options.languages]
    outputs = [Path(f"{options.cleaned}.{language}") for language in options.languages]
    seen: Counter[str | None] = Counter()
    with open(outputs[0], "wb") as source_file, open(outputs[1], "wb") as target_file:
        for source, target in pairs_of(*inputs):
            words = source.split(), target.split()
            why = fault(*words, options.min, options.max, options.ratio)
            seen[why] += 1
            if why is None:
                source_file.write((" ".join(words[0]) + "\n").encode())
                target_file.write((" ".join(words[1]) + "\n").encode())
    report(seen, options.cleaned)


def report(seen: Counter[str | None], name: str) -> None:
    total, kept = seen.total(), seen.pop(None, 0)
    reasons = ", ".join(f"{count} {why}" for why, count in sorted(seen.items())) or "none dropped"
    print(f"{Path(name).name}: {kept} of {total} pairs kept ({reasons})")
    if kept == 0:
        raise Problem(f"{name}: no pair passed the length and ratio filter ({reasons}): are both sides the same text?")


if __name__ == "__main__":
    run(main)
