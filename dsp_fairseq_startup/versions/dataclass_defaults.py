"""`mutable default <class ...CommonConfig> for field common is not allowed: use default_factory`

Where: every dataclass of fairseq and of hydra 1.0.7 that has another dataclass as a field's default.
When: Python >= 3.11, which refuses defaults without a `__hash__`; a dataclass that compares by value has none.
"""

import contextlib
import dataclasses

_depth = 0  # imports nest: fairseq.tasks imports fairseq.data imports ...
_original_get_field = dataclasses._get_field  # type: ignore[attr-defined]  # private, and there in 3.11 to 3.13


@contextlib.contextmanager
def hashable_defaults():
    """While this is open, dataclasses of fairseq and hydra (nobody else's) may serve as defaults."""
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
