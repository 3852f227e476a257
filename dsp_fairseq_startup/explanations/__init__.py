"""Messages for errors of fairseq 0.12.2 that come from missing or unsuitable input: what was given, what to do."""

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
    """The message for the user, or None if this is no known error of use."""
    return next(filter(None, (explanation(error) for explanation in EXPLANATIONS)), None)
