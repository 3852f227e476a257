"""`fairseq-preprocess` overwrites nothing, and checks all its input before it writes anything.

fairseq itself stops (with a traceback) only when a dictionary exists, and not with `--srcdict`. So existing data are
overwritten, or one folder gets data of two dictionaries. fairseq also writes half of the data before it notices that a
file is missing or not UTF-8, and it writes source and target with different numbers of sentences, which cannot be
used for training.
"""

import argparse
import functools
import os

from ..errors import refuse
from ..mending import around, mend

PARTS = ("", ".bin", ".idx")
OTHER_FOLDER = "give another --destdir, or delete what is there first"


@mend("fairseq.file_chunker_utils", "fairseq_cli.preprocess")
def end_lines_at_line_feeds(module):
    r"""Without this mend, a carriage return in a line doubles sentences (`--workers` > 1) or splits them.

    fairseq opens text files so that a lone `\r` ends a line. The offsets of the workers and the other side of the
    corpus do not follow that rule. Here `\r` is white space between words, so that `\r\n` ends one line.
    """
    module.open = functools.partial(open, newline="\n")


@around("fairseq_cli.preprocess:main")
def check_all_input(main, args):
    args = with_a_dictionary_for_each_side(args)
    refuse([*problems_of_texts(args), *problems_of_dictionaries(args), *problems_of_data(args)])
    return main(args)


def with_a_dictionary_for_each_side(args):
    """Replace `--joined-dictionary --srcdict FILE` by the same file for both sides, which may exist already."""
    given = args.srcdict or args.tgtdict
    if not args.joined_dictionary or not given or (args.srcdict and args.tgtdict):
        return args
    return argparse.Namespace(**{**vars(args), "srcdict": given, "tgtdict": given, "joined_dictionary": False})


def sides(args):
    return [args.source_lang] if args.only_source else [args.source_lang, args.target_lang]


def prefixes(args):
    """The prefix of the text files (without the language) for each data set, by the name of the data set."""
    found = {"train": args.trainpref} if args.trainpref else {}
    for name, given in (("valid", args.validpref), ("test", args.testpref)):
        for number, prefix in enumerate(given.split(",") if given else []):
            found[f"{name}{number or ''}"] = prefix
    return found


def problems_of_texts(args):
    if args.workers < 1:
        yield f"--workers {args.workers}: must be 1 or more"
    if not args.only_source and None in sides(args):
        yield "--source-lang and --target-lang are needed, or --only-source"
        return
    for option, name in (("--srcdict", args.srcdict), ("--tgtdict", args.tgtdict), ("--alignfile", args.alignfile)):
        if name and not os.path.exists(name):
            yield f"{option} {name}: no such file"
    for prefix in dict.fromkeys(prefixes(args).values()):
        lines = {}
        for name in (prefix + (f".{side}" if side else "") for side in sides(args)):
            try:
                lines[name] = number_of_lines(name)
            except OSError as error:
                yield f"{name}: {error.strerror.lower()}"
            except UnicodeError as error:
                yield f"{name}: {error}"
        if len(set(lines.values())) > 1:
            yield "; ".join(f"{name} has {count} lines" for name, count in lines.items()) + ": they must have as many"


def number_of_lines(name):
    number = 0
    with open(name, "rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                raise UnicodeError(f"line {number} is not UTF-8; convert the file, with iconv for example") from None
    return number


def problems_of_dictionaries(args):
    from fairseq_cli.preprocess import _dict_path

    options = (("--srcdict", args.srcdict), ("--tgtdict", args.tgtdict))
    for side, (flag, given) in zip(sides(args), options, strict=False):
        name = _dict_path(side, args.destdir)
        if not os.path.exists(name):
            continue
        if not given:
            yield f"{name} exists already; {OTHER_FOLDER}, or add data of the same dictionary with {flag} {name}"
        elif os.path.exists(given) and words_of(given) != words_of(name):
            yield f"{name} has other words than {given}, and data there may need them; {OTHER_FOLDER}"


def words_of(dictionary):
    with open(dictionary, encoding="utf-8", errors="replace") as file:
        return [line.rpartition(" ")[0] for line in file]


def problems_of_data(args):
    if args.dict_only:
        return
    from fairseq_cli.preprocess import dataset_dest_prefix

    if args.dataset_impl == "fasta":
        yield "--dataset-impl fasta: fairseq-preprocess cannot write it; take mmap (the default), lazy, cached or raw"
    written = [dataset_dest_prefix(args, name, side) for name in prefixes(args) for side in sides(args)]
    if args.align_suffix:
        written += [dataset_dest_prefix(args, f"{name}.align", None) for name in prefixes(args)]
    there = [name + part for name in written for part in PARTS if os.path.isfile(name + part)]
    if there:
        others = f", and {len(there) - 1} more files" if len(there) > 1 else ""
        yield f"{there[0]} exists already{others}; nothing is overwritten: {OTHER_FOLDER}"
