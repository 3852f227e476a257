"""``dsp-fairseq bench CKPT [CKPT ...]``"""

import os

from ..bench.settings import VARIANTS
from ..errors import refuse
from .budgets import add_budgets, budgets_of
from .inputs import refuse_if_missing, target_problems

HELP = "measure how fast a checkpoint decodes: stock fairseq, heads masked, heads removed, exported"

DESCRIPTION = (
    f"{HELP}. The variants take turns in one process; sentences/s and tokens/s are of batches, the latency is of "
    "single sentences. First it is checked that all of them translate alike. Of a language model, batches are samples "
    "of a text whose words are predicted, as fairseq-eval-lm does, and the latency is of continuing a single text by "
    "beam search."
)


def add_arguments(parser) -> None:
    parser.description = DESCRIPTION
    kinds = "of a gated model, before or after prune, or of fairseq's own; several of one task"
    parser.add_argument("checkpoints", metavar="CKPT", nargs="*", help=kinds)
    _add_sentences(parser.add_argument_group("sentences"))
    _add_decoding(parser.add_argument_group("decoding"))
    _add_measuring(parser.add_argument_group("measuring"))


def _add_sentences(group) -> None:
    group.add_argument(
        "--data",
        metavar="DIR",
        help="folder of fairseq-preprocess: its test set is translated (default: the data folder of the training; "
        "random words where that is gone)",
    )
    group.add_argument(
        "--text",
        metavar="FILE",
        help="take this file instead, in BPE: a sentence per line, or the text of a language model",
    )
    group.add_argument(
        "--sentences",
        type=int,
        default=200,
        metavar="N",
        help="this many, or so many samples, evenly spread (default: %(default)s)",
    )


def _add_decoding(group) -> None:
    group.add_argument(
        "--batch-size", type=int, default=32, metavar="N", help="sentences or samples (default: %(default)s)"
    )
    group.add_argument("--beam", type=int, default=5, metavar="N", help="hypotheses (default: %(default)s)")
    group.add_argument(
        "--max-len-a",
        type=float,
        default=0,
        metavar="A",
        help="a translation has at most A * source + B words; to a text of S words, A * S + B words are added",
    )
    group.add_argument("--max-len-b", type=int, default=200, metavar="B", help="(default: %(default)s)")
    group.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="(default: %(default)s)")
    group.add_argument("--half", action="store_true", help="float16")
    add_budgets(group, "decode with")


def _add_measuring(group) -> None:
    group.add_argument(
        "--with",
        dest="variants",
        nargs="+",
        metavar="VARIANT",
        help=f"variants to measure: {', '.join(VARIANTS)}; others are compared with the first of these that is among "
        "them (default: all but int8; exported only where CTranslate2 and the dictionaries are there)",
    )
    group.add_argument("--rounds", type=int, default=5, metavar="N", help="(default: %(default)s)")
    group.add_argument(
        "--no-memory", action="store_true", help="leave out peak memory, which takes a process for each variant"
    )
    group.add_argument("--json", metavar="FILE", help="also write all numbers, every round included")
    group.add_argument("--plot", metavar="FILE.png", help="also draw them")
    group.add_argument("--force", action="store_true", help="overwrite these files")


def check(arguments) -> None:
    _part_from_variants(arguments)
    if not arguments.checkpoints:
        refuse(["CKPT is missing: name one checkpoint or more"])
    refuse_if_missing(arguments.checkpoints, lambda: _output_problems(arguments) + _settings(arguments).problems())


def _part_from_variants(arguments) -> None:
    """Separate checkpoints from variants: in `--with stock removed CKPT` argparse takes CKPT for a variant."""
    given = arguments.variants or []
    variants, others = ([word for word in given if (word in VARIANTS) == known] for known in (True, False))
    known = ", ".join(VARIANTS)
    unknown = [word for word in others if not os.path.exists(word)]
    refuse(f"--with {word}: is none of {known}, nor a checkpoint that is there" for word in unknown)
    if given and not variants:
        refuse([f"--with {given[0]}: name one or more of {known} after it"])
    arguments.variants, arguments.checkpoints = variants or None, [*arguments.checkpoints, *others]


def run(arguments) -> None:
    from .. import pictures
    from ..atomic import writing
    from ..bench.results import as_json, as_table
    from ..bench.run import bench

    done = bench(arguments.checkpoints, _settings(arguments), _output_problems(arguments))
    print(as_table(done))
    if arguments.json:
        with writing(arguments.json, arguments.force) as beside, open(beside, "w", encoding="utf-8") as file:
            file.write(as_json(done) + "\n")
    if arguments.plot:
        from ..bench.plot import draw  # imports matplotlib, which may be missing

        pictures.save(draw(done), arguments.plot, arguments.force)


def _settings(arguments):
    from ..bench.settings import Decoding, Settings

    decoding = Decoding(
        arguments.batch_size,
        arguments.beam,
        arguments.max_len_a,
        arguments.max_len_b,
        arguments.device,
        arguments.half,
    )
    budgets = budgets_of(arguments)
    return Settings(
        decoding,
        arguments.rounds,
        arguments.sentences,
        arguments.data,
        arguments.text,
        arguments.variants and tuple(arguments.variants),
        budgets.pop("heads_to_keep", None),
        not arguments.no_memory,
        budgets,
    )


def _output_problems(arguments) -> list:
    """Problems of --json, --plot and --force, one line each."""
    from .. import pictures
    from ..collisions import collisions

    outputs = {"--json": arguments.json, "--plot": arguments.plot}
    problems = list(collisions(outputs, [*arguments.checkpoints, arguments.text]))
    problems += target_problems(arguments.json, arguments.force, "--json") if arguments.json else []
    if arguments.plot:
        problems += pictures.problems(arguments.plot, arguments.force)
    if arguments.force and not (arguments.json or arguments.plot):
        problems.append("--force: only --json and --plot write files; leave it out, or name one")
    return problems
