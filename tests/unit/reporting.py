"""Runs `dsp-fairseq report` in this process, and returns its output or its error lines."""

from dsp_fairseq.cli import main


def said(capsys, *arguments):
    assert main(["report", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def refused(capsys, *arguments):
    """The error lines of a command, which has to exit with status 2 and print nothing else."""
    assert main(["report", *map(str, arguments)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    return printed.err.splitlines()
