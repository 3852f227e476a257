"""`dsp-fairseq report` in this process: what it says, and how it refuses."""

from dsp_fairseq.cli import main


def said(capsys, *arguments):
    assert main(["report", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def refused(capsys, *arguments):
    """The lines of a command that exits with 2 and prints nothing else."""
    assert main(["report", *map(str, arguments)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    return printed.err.splitlines()
