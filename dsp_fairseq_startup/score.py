from .scoring.command import lines_of, what_is_wrong  # noqa: F401
