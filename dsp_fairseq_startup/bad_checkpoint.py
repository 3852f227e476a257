"""The error for a checkpoint file that cannot or must not be read."""


class BadCheckpoint(ValueError):
    """One line: which file, what is wrong with it, what to do."""

    exit_code = 2
