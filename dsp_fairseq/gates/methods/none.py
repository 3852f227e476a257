"""``none``: nothing is pruned."""

from dataclasses import dataclass

from .method import Method
from .registry import register_method


@register_method("none")
@dataclass(frozen=True)
class Unpruned(Method):
    """All heads are open, K = H."""

    SUMMARY = "all heads"
    needs_count = False
