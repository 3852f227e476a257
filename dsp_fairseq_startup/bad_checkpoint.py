"""Errors of use: the message is one line for the user, the command ends with exit status 2."""


class WrongUse(ValueError):
    """One line: what was given, what is allowed, what to do."""

    exit_code = 2


class BadCheckpoint(WrongUse):
    """A checkpoint file that cannot or must not be read: which file, what is wrong with it, what to do."""
