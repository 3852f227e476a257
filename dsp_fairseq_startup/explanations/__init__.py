"""Messages for errors of fairseq 0.12.2 that wrong input causes; a message says what was given and what to do."""

from . import command_line, data, decoding, files, patterns, vocabulary

EXPLANATIONS = (
    vocabulary.explain,
    data.explain,
    files.explain,
    command_line.explain,
    decoding.explain,
    patterns.explain,
)


def explain(error):
    """The message for the user, or None if the error is not one of the known errors that wrong input causes."""
    return next(filter(None, (explanation(error) for explanation in EXPLANATIONS)), None)
