"""`fairseq-score` with `--sacrebleu` or `--sentence-bleu` ends in a traceback; of two files of different lengths it
scores what the shorter one has, without a word

Where: `fairseq_cli.score.cli_main`, replaced here as a whole; its options and its output stay as they are.
When: sacrebleu >= 2, which takes lists and no open files; `--sentence-bleu` and lengths always.
"""

import functools
import sys

from .bad_checkpoint import WrongUse

ORDERS = range(1, 5)  # what fairseq's own BLEU counts


def mend(score):
    score.cli_main = functools.wraps(score.cli_main)(lambda: run(score))


def run(score):
    args = score.get_parser().parse_args()
    print(args)
    refuse(list(option_problems(args)))
    problems, texts = [], []
    for path in (args.sys, args.ref):
        try:
            texts.append(lines_of(path))
        except (OSError, UnicodeDecodeError) as error:
            problems.append(f"{name_of(path)}: {what_is_wrong(error)}")
    refuse(problems)
    system, reference = texts
    refuse(list(size_problems(args, system, reference)))
    print_scores(score, args, system, reference)


def refuse(problems):
    if problems:
        raise WrongUse("\n".join(problems))


def option_problems(args):
    if args.order not in ORDERS:
        yield f"--order {args.order}: n-grams of 1 to 4 words are counted"
    if args.sacrebleu and args.sentence_bleu:
        yield "--sacrebleu --sentence-bleu: one of the two; the second counts words as they are in the file"


def lines_of(path):
    """Only a line feed ends a line: so do the files of a parallel corpus stay parallel."""
    if path == "-":
        content = sys.stdin.buffer.read()
    else:
        with open(path, "rb") as file:
            content = file.read()
    lines = content.decode("utf-8").split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def what_is_wrong(error):
    if isinstance(error, OSError):
        return (error.strerror or str(error)).lower()
    line = error.object.count(b"\n", 0, error.start) + 1
    return f"line {line} is not UTF-8 (byte {error.object[error.start]:#04x}); `iconv -t utf-8` converts it"


def name_of(path):
    return "standard input" if path == "-" else path


def size_problems(args, system, reference):
    if not system and not reference:
        yield f"{name_of(args.sys)} and {name_of(args.ref)} are empty: nothing to score"
    elif len(system) != len(reference):
        yield (
            f"{name_of(args.sys)} has {len(system)} line{'s' if len(system) != 1 else ''}, {name_of(args.ref)} has"
            f" {len(reference)}: line i of one must belong to line i of the other"
        )


def print_scores(score, args, system, reference):
    if args.sacrebleu:
        from sacrebleu.metrics import BLEU

        metric = BLEU(lowercase=args.ignore_case, max_ngram_order=args.order)
        print(metric.corpus_score(system, [reference]).format())
        return
    words = score.dictionary.Dictionary()
    scorer = score.bleu.Scorer(score.bleu.BleuConfig(pad=words.pad(), eos=words.eos(), unk=words.unk()))
    for i, pair in enumerate(zip(system, reference, strict=False)):
        if args.sentence_bleu:
            scorer.reset(one_init=True)
        hypothesis, correct = (words.encode_line(line.lower() if args.ignore_case else line) for line in pair)
        scorer.add(correct, hypothesis)
        if args.sentence_bleu:
            print(i, scorer.result_string(args.order))
    if not args.sentence_bleu:
        print(scorer.result_string(args.order))
