"""`fairseq-score` works with `--sacrebleu` and `--sentence-bleu`, and refuses files of different lengths.

fairseq's command ends in a traceback (sacrebleu >= 2 takes lists instead of open files), or scores only as many lines
as the shorter file has. Its `cli_main` is replaced as a whole; options and output are the same.
"""

import sys

from ..errors import refuse
from ..mending import around

ORDERS = range(1, 5)  # lengths of n-grams that fairseq's own BLEU counts


@around("fairseq_cli.score:cli_main")
def score_files(_cli_main):
    from fairseq_cli import score

    args = score.get_parser().parse_args()
    print(args)
    refuse(option_problems(args))
    problems, texts = [], []
    for path in (args.sys, args.ref):
        try:
            texts.append(lines_of(path))
        except (OSError, UnicodeDecodeError) as error:
            problems.append(f"{name_of(path)}: {what_is_wrong(error)}")
    refuse(problems)
    refuse(size_problems(args, *texts))
    print_scores(score, args, *texts)


def option_problems(args):
    if args.order not in ORDERS:
        yield f"--order {args.order}: n-grams of 1 to 4 words are counted"
    if args.sacrebleu and args.sentence_bleu:
        yield "--sacrebleu --sentence-bleu: one of the two; the second counts words as they are in the file"


def lines_of(path):
    """The lines of a UTF-8 text. Only a line feed ends a line, so that parallel files stay parallel."""
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
