"""``dsp-fairseq report CKPT``"""

HELP = "print the heads that a checkpoint keeps, block by block"


def add_arguments(parser) -> None:
    parser.add_argument("checkpoint", metavar="CKPT")


def run(arguments) -> None:
    from ..checkpoint import kept_heads
    from ..report import table

    print(table(kept_heads(arguments.checkpoint)))
