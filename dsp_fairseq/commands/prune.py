"""``dsp-fairseq prune CKPT OUT``"""

from .budgets import add_budgets, budgets_of
from .inputs import refuse_if_missing, target_problems

HELP = "write a smaller checkpoint, without the heads, hidden units and layers that are pruned"


def add_arguments(parser) -> None:
    parser.add_argument("checkpoint", metavar="CKPT", help="of a gated model, before or after prune")
    parser.add_argument("out", metavar="OUT", help="the file to write")
    add_budgets(parser)
    parser.add_argument("--half", action="store_true", help="weights in half precision (float16)")
    parser.add_argument(
        "--dense",
        action="store_true",
        help="write a checkpoint of the stock model, with zeros for the pruned heads and hidden units: as large "
        "as before (but for pruned layers, which are gone), decoded by plain fairseq",
    )
    parser.add_argument(
        "--fill",
        action="store_true",
        help="of a checkpoint of --pruning-method movement: small random numbers (mean + 0.01 standard deviations of "
        "the matrix) in the place of zeros in what is left, to train all of it on",
    )
    parser.add_argument("--force", action="store_true", help="overwrite OUT")


def check(arguments) -> None:
    refuse_if_missing([arguments.checkpoint], lambda: target_problems(arguments.out, arguments.force))


def run(arguments) -> None:
    from ..checkpoints.prune import prune

    done = prune(
        arguments.checkpoint,
        arguments.out,
        half=arguments.half,
        dense=arguments.dense,
        fill=arguments.fill,
        force=arguments.force,
        **budgets_of(arguments),
    )
    print(done)
