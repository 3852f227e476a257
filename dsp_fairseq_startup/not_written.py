from .errors import NotWritten, not_written  # noqa: F401
