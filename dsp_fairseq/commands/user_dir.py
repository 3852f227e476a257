"""``dsp-fairseq user-dir``"""

from pathlib import Path

HELP = "print the folder to give as --user-dir"


def add_arguments(parser) -> None:
    pass


def run(arguments) -> None:
    print(Path(__file__).resolve().parents[1])
