"""``uniform``: the heads are spread evenly over the blocks and fixed, the baseline without a choice."""

from dataclasses import dataclass

from .method import Method
from .registry import register_method


@register_method("uniform")
@dataclass(frozen=True)
class Uniform(Method):
    """The mask of the uniform choice from the first update."""

    SUMMARY = "spread evenly, fixed"
