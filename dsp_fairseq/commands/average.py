"""``dsp-fairseq average CKPT CKPT... --out OUT``"""

from .inputs import refuse_if_missing, target_problems

HELP = "write the mean of several checkpoints of one training"


def add_arguments(parser) -> None:
    parser.add_argument("checkpoints", metavar="CKPT", nargs="+", help="two or more of one training")
    parser.add_argument("--out", metavar="OUT", required=True, help="the file to write")
    parser.add_argument("--force", action="store_true", help="overwrite OUT")


def check(arguments) -> None:
    refuse_if_missing(arguments.checkpoints, lambda: target_problems(arguments.out, arguments.force))


def run(arguments) -> None:
    from ..checkpoints.average import average

    print(average(arguments.checkpoints, arguments.out, force=arguments.force))
