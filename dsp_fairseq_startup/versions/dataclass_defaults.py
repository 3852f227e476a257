"""`mutable default <class ...CommonConfig> for field common is not allowed: use default_factory`

Python >= 3.11 raises this error for every dataclass of fairseq and hydra 1.0.7 in which an object of another dataclass
is the default of a field. It refuses defaults without `__hash__`, and dataclasses that compare by value have none.
"""

import contextlib
import dataclasses

_depth = 0  # number of open contexts, because imports are nested: fairseq.tasks imports fairseq.data and so on
_original_get_field = dataclasses._get_field  # type: ignore[attr-defined]  # private, and there in 3.11 to 3.13


@contextlib.contextmanager
def hashable_defaults():
    """Context manager inside which objects of dataclasses of fairseq and hydra (no others) may be defaults."""
    global _depth
    _depth += 1
    dataclasses._get_field = _get_field
    try:
        yield
    finally:
        _depth -= 1
        if _depth == 0:
            dataclasses._get_field = _original_get_field


def _get_field(cls, name, *others):
    default = getattr(cls, name, None)
    if isinstance(default, dataclasses.Field):
        default = default.default
    kind = type(default)
    is_mended = kind.__module__.partition(".")[0] in ("fairseq", "hydra")
    if is_mended and dataclasses.is_dataclass(kind) and kind.__hash__ is None:
        kind.__hash__ = object.__hash__
    return _original_get_field(cls, name, *others)
