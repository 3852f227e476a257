"""``dsp-fairseq importance CKPT [DATA] OUT``"""

from ..importance import GRADIENT, NORMALISATIONS, SCORES
from ..importance.settings import DEFAULTS, Settings, folder_problems
from .inputs import E_OF_EACH_STACK, F_OF_EACH_KIND, K_OF_EACH_KIND, refuse_if_missing, target_problems

HELP = "prune the least important heads, hidden units or layers of a trained model, without training"

DESCRIPTION = (
    f"{HELP}: those whose gates change the loss of a sentence least (Michel et al., 2019). OUT has the same "
    "weights, decodes within the budget exactly, and keeps the order of importance: prune OUT with a smaller budget "
    "takes the best of them."
)


def add_arguments(parser) -> None:
    parser.description = DESCRIPTION
    # argparse loses an optional DATA when options stand between it and CKPT or OUT, so the usage has them at the end
    parser.usage = "dsp-fairseq importance CKPT [DATA] OUT (--heads-to-keep K | --ffn-to-keep F | ...) [options]"
    parser.add_argument("checkpoint", metavar="CKPT", help="of a gated model or of its stock model")
    parser.add_argument(
        "data", metavar="DATA", nargs="?", help=f"folder of fairseq-preprocess; only --score {GRADIENT} needs it"
    )
    parser.add_argument("out", metavar="OUT", help="the checkpoint to write")
    _add_choice(parser.add_argument_group("how many"))
    _add_score(parser.add_argument_group("importance"))
    _add_sentences(parser.add_argument_group(f"sentences, of --score {GRADIENT}"))
    group = parser.add_argument_group("files")
    group.add_argument("--json", metavar="FILE", help="also write the importance of every unit")
    group.add_argument("--force", action="store_true", help="overwrite OUT and this file")


def _add_choice(group) -> None:
    group.add_argument(
        "--heads-to-keep",
        metavar="K",
        help=f"heads of the whole model, or of each kind: {K_OF_EACH_KIND}",
    )
    group.add_argument(
        "--ffn-to-keep",
        metavar="F",
        help=f"hidden units of all feed-forward blocks, or of each kind: {F_OF_EACH_KIND}",
    )
    group.add_argument(
        "--layers-to-keep",
        metavar="E",
        help=f"layers of each stack, such as {E_OF_EACH_STACK}; heads and hidden units of other layers do not count",
    )
    group.add_argument(
        "--parameters-to-keep",
        metavar="P",
        help="parameters of all heads and hidden units that are kept at most: a number, or a share such as 40%%; the "
        "importance of a unit is then divided by its parameters",
    )
    for bound, most in (("min", "least"), ("max", "most")):
        for structure, noun in (("heads", "heads"), ("ffn", "hidden units")):
            group.add_argument(
                f"--{bound}-{structure}-per-block",
                type=int,
                metavar="N",
                help=f"a block keeps at {most} N {noun} (default: as the checkpoint was trained)",
            )
    group.add_argument(
        "--ffn-group",
        type=int,
        metavar="N",
        help="hidden units that are removed together (default: as the checkpoint was trained, else 64)",
    )
    group.add_argument(
        "--step",
        type=int,
        metavar="N",
        help="remove N units at a time, and find the importance of the others anew (default: all at once)",
    )


def _add_score(group) -> None:
    group.add_argument(
        "--score",
        choices=SCORES,
        default=GRADIENT,
        help="what makes a unit important: how the loss of a sentence changes with its gate, the norm of its weights, "
        "or chance (default: %(default)s)",
    )
    group.add_argument(
        "--normalise",
        choices=NORMALISATIONS,
        help="divide by the L2 norm of the block's importances, which with --step protects the last unit of a block, "
        f"or not (default: {DEFAULTS['normalise']})",
    )
    group.add_argument(
        "--seed",
        type=int,
        metavar="N",
        help=f"of chance, and of the order of --sentences (default: {DEFAULTS['seed']})",
    )


def _add_sentences(group) -> None:
    group.add_argument("--subset", metavar="NAME", help=f"such as train (default: {DEFAULTS['subset']})")
    group.add_argument("--sentences", type=int, metavar="N", help="at most N of them, in a random order (default: all)")
    group.add_argument(
        "--max-tokens",
        type=int,
        metavar="N",
        help=f"of a batch, padding counted; the result is the same (default: {DEFAULTS['max_tokens']})",
    )


def check(arguments) -> None:
    problems = target_problems(arguments.out, arguments.force)
    problems += target_problems(arguments.json, arguments.force, "--json") if arguments.json else []
    problems += folder_problems(arguments.data)
    refuse_if_missing([arguments.checkpoint], lambda: _settings(arguments).problems() + problems)


def run(arguments) -> None:
    import logging

    from ..importance.run import rank

    logging.getLogger("fairseq").setLevel(logging.WARNING)  # the result names the data that were read
    print(rank(arguments.checkpoint, arguments.out, _settings(arguments), arguments.json, arguments.force))


def _settings(arguments) -> Settings:
    return Settings(**{name: getattr(arguments, name) for name in Settings._fields})
