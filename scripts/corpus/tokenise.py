"""The tokens of every line, by sacremoses, as Moses' scripts would cut them.

    python -m corpus.tokenise FOLDER FILE... [--jobs N] [--normalise SPLIT] [--aggressive] [--lower-case] [--no-tokens]

A file is named SPLIT.LANGUAGE, and so in FOLDER. In this order: normalise punctuation (normalize-punctuation.perl,
remove-non-printing-char.perl), tokenise (tokenizer.perl, with XML escapes), lower-case (lowercase.perl). Lower case
comes last because the tokeniser recognises full stops after abbreviations by the case of the next word.

Where sacremoses 0.2 differs and it matters, this follows Moses: the full stop of a line's last word, quotes and full
stops at the end of a German line, what does not print. Five differences stay, as they touch no text of these corpora
that anybody reads (tests/unit/test_corpus_tokens.py pins all that is known):
- Chinese and Japanese characters are single tokens; Moses leaves a run of them whole.
- U+001C to U+001F separate words; Moses deletes them and joins what they separate.
- The long s counts as no letter when the apostrophe beside it is normalised.
- The full stop of a few abbreviations (Italian Arch, Amn, all, es) stays: in Moses' list they end with a blank, so
  that Moses never finds them.
- Quotation marks before a comma or full stop are normalised in German, Spanish and French only; Moses does it in all
  languages but English and Czech. The scripts normalise Czech, German, English and French only.
"""

import argparse
import functools
from pathlib import Path

import regex
from sacremoses import MosesPunctNormalizer, MosesTokenizer

from .parallel import LineFunction, map_lines
from .problem import run

NON_PRINTING = regex.compile(r"\p{C}")


class Tokenizer(MosesTokenizer):
    """sacremoses' tokeniser, with the last full stop of a line as in Moses, and faster.

    sacremoses makes a set of 100,000 characters for many a full stop; here the character classes are made once.
    """

    LOWER = frozenset(MosesTokenizer.IsLower)
    ALPHA = frozenset(MosesTokenizer.IsAlpha)

    def handles_nonbreaking_prefixes(self, text: str) -> str:
        """tokenizer.perl: "split last words independently as they are unlikely to be non-breaking prefixes"."""
        text = super().handles_nonbreaking_prefixes(text)
        return f"{text[:-1]} ." if text.endswith(".") else text

    def islower(self, text: str) -> bool:
        return self.LOWER.issuperset(text)

    def isanyalpha(self, text: str) -> bool:
        return not self.ALPHA.isdisjoint(text)


def normaliser(language: str) -> LineFunction:
    """Moses' quotes (perl_parity), and its blank for what does not print; sacremoses would join the words instead.

    The line end belongs to the text in Moses: a German ."  before it becomes ". as in the middle of a line.
    """
    punctuation = MosesPunctNormalizer(language, penn=True, perl_parity=True)
    return lambda line: NON_PRINTING.sub(" ", punctuation.normalize(f"{line}\n"))


def line_function(language: str, normalise: bool, tokens: bool, aggressive: bool, lower_case: bool) -> LineFunction:
    steps: list[LineFunction] = [normaliser(language)] if normalise else []
    if tokens:
        tokenise = Tokenizer(language).tokenize
        steps.append(functools.partial(tokenise, aggressive_dash_splits=aggressive, return_str=True))
    else:
        steps.append(lambda line: " ".join(line.split()))
    if lower_case:
        steps.append(str.lower)
    return lambda line: functools.reduce(lambda text, step: step(text), steps, line)


def main() -> None:
    parser = argparse.ArgumentParser(description="Tokenise files named SPLIT.LANGUAGE.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--normalise", metavar="SPLIT", help="this split's punctuation and what does not print")
    parser.add_argument("--aggressive", action="store_true", help="split hyphens: foo-bar -> foo @-@ bar")
    parser.add_argument("--lower-case", action="store_true")
    parser.add_argument("--no-tokens", action="store_true", help="leave words as they are, for SentencePiece")
    given = parser.parse_args()
    for file in given.files:
        options = file.stem == given.normalise, not given.no_tokens, given.aggressive, given.lower_case
        make = functools.partial(line_function, file.suffix[1:], *options)
        map_lines(file, given.folder / file.name, make, given.jobs)


if __name__ == "__main__":
    run(main)
