"""``dsp-fairseq COMMAND``: what the stock fairseq commands do not do."""

import argparse
import sys
from pathlib import Path
from typing import List, Optional

from dsp_fairseq_startup.bad_checkpoint import BadCheckpoint

from . import __version__
from .errors import BadInput


def main(argv: Optional[List[str]] = None) -> int:
    """Run one command. Returns 0 when it is done, 2 on wrong use."""
    arguments = _parser().parse_args(argv)
    try:
        return arguments.run(arguments) or 0
    except (BadInput, BadCheckpoint) as error:
        if arguments.debug:
            raise
        print(f"dsp-fairseq {arguments.command}: error: {error}", file=sys.stderr)
        return error.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dsp-fairseq", description=__doc__)
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    user_dir = commands.add_parser("user-dir", help="print the folder to give as --user-dir")
    user_dir.set_defaults(run=_user_dir)
    report = commands.add_parser("report", help="print the heads that a checkpoint keeps, block by block")
    report.add_argument("checkpoint", metavar="CKPT")
    report.set_defaults(run=_report)
    return parser


def _user_dir(_) -> None:
    print(Path(__file__).resolve().parent)


def _report(arguments) -> None:
    from .checkpoint import kept_heads
    from .report import table

    print(table(kept_heads(arguments.checkpoint)))


if __name__ == "__main__":
    sys.exit(main())
