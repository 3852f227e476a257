"""`fairseq-preprocess` into a folder that holds other data overwrites them, or leaves data of two dictionaries

Where: `fairseq_cli.preprocess.main`, which stops (with a traceback) at an existing dictionary only, and not with
`--srcdict`. It also writes half of the data before it notices that a file is missing or is not UTF-8, and source and
target of different lengths, which nothing can be trained on. When: always.
"""

import argparse
import codecs
import functools
import os

from .bad_checkpoint import WrongUse

PARTS = ("", ".bin", ".idx")
OTHER_FOLDER = "give another --destdir, or delete what is there first"


def mend(preprocess):
    preprocess.main = without_surprises(preprocess.main, preprocess)


def without_surprises(main, preprocess):
    @functools.wraps(main)
    def wrapper(args):
        args = with_a_dictionary_for_each_side(args)
        problems = [*problems_of_numbers(args), *problems_of_texts(args), *problems_of_dictionaries(args, preprocess)]
        if not args.dict_only:
            problems += problems_of_data(args, preprocess)
        if problems:
            raise WrongUse("\n".join(problems))
        return main(args)

    return wrapper


def with_a_dictionary_for_each_side(args):
    """`--joined-dictionary --srcdict FILE` is the same file twice, and as that it may be in the folder already."""
    given = args.srcdict or args.tgtdict
    if not args.joined_dictionary or not given or (args.srcdict and args.tgtdict):
        return args
    return argparse.Namespace(**{**vars(args), "srcdict": given, "tgtdict": given, "joined_dictionary": False})


def sides(args):
    return [args.source_lang] if args.only_source else [args.source_lang, args.target_lang]


def prefixes(args):
    """What the data are called -> the texts they are made from, without the language."""
    found = {"train": args.trainpref} if args.trainpref else {}
    for name, given in (("valid", args.validpref), ("test", args.testpref)):
        for number, prefix in enumerate(given.split(",") if given else []):
            found[f"{name}{number or ''}"] = prefix
    return found


def problems_of_numbers(args):
    if args.workers < 1:
        yield f"--workers {args.workers}: must be 1 or more"


def problems_of_texts(args):
    if not args.only_source and None in sides(args):
        yield "--source-lang and --target-lang are needed, or --only-source"
        return
    for option, name in (("--srcdict", args.srcdict), ("--tgtdict", args.tgtdict), ("--alignfile", args.alignfile)):
        if name and not os.path.exists(name):
            yield f"{option} {name}: no such file"
    for prefix in dict.fromkeys(prefixes(args).values()):
        names = [prefix + (f".{side}" if side else "") for side in sides(args)]
        lines = {}
        for name in names:
            try:
                lines[name] = number_of_lines(name)
            except OSError as error:
                yield f"{name}: {error.strerror.lower()}"
            except UnicodeError as error:
                yield f"{name}: {error}"
        if len(set(lines.values())) > 1:
            yield "; ".join(f"{name} has {count} lines" for name, count in lines.items()) + ": they must have as many"


def number_of_lines(name):
    decoder = codecs.getincrementaldecoder("utf-8")()
    lines, last = 0, b"\n"
    with open(name, "rb") as file:
        while last:
            block = file.read(1 << 20)
            try:
                decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                line = lines + 1 + error.object.count(b"\n", 0, error.start)
                raise UnicodeError(f"line {line} is not UTF-8; convert the file, with iconv for example") from None
            lines += block.count(b"\n")
            if not block:
                break
            last = block[-1:]
    return lines + (last != b"\n")


def problems_of_dictionaries(args, preprocess):
    options = (("--srcdict", args.srcdict), ("--tgtdict", args.tgtdict))
    for side, (flag, given) in zip(sides(args), options, strict=False):
        name = preprocess._dict_path(side, args.destdir)
        if not os.path.exists(name):
            continue
        if not given:
            yield f"{name} exists already; {OTHER_FOLDER}, or add data of the same dictionary with {flag} {name}"
        elif os.path.exists(given) and words_of(given) != words_of(name):
            yield f"{name} has other words than {given}, and data there may need them; {OTHER_FOLDER}"


def words_of(dictionary):
    with open(dictionary, encoding="utf-8", errors="replace") as file:
        return [line.rpartition(" ")[0] for line in file]


def problems_of_data(args, preprocess):
    if args.dataset_impl == "fasta":
        yield "--dataset-impl fasta: fairseq-preprocess cannot write it; take mmap (the default), lazy, cached or raw"
    written = [preprocess.dataset_dest_prefix(args, name, side) for name in prefixes(args) for side in sides(args)]
    if args.align_suffix:
        written += [preprocess.dataset_dest_prefix(args, f"{name}.align", None) for name in prefixes(args)]
    there = [name + part for name in written for part in PARTS if os.path.isfile(name + part)]
    if there:
        yield f"{there[0]} exists already{and_more(there)}; nothing is overwritten: {OTHER_FOLDER}"


def and_more(names):
    return f", and {len(names) - 1} more files" if len(names) > 1 else ""
