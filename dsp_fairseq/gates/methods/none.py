"""``none``: the method that prunes nothing."""

from dataclasses import dataclass

from .method import Method
from .registry import register_method


@register_method("none")
@dataclass(frozen=True)
class Unpruned(Method):
    """All units are open: K = H."""

    SUMMARY = "all heads"
    needs_count = False
