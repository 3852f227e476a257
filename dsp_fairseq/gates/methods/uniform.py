"""``uniform``: the baseline that spreads the kept units evenly over the blocks and learns no choice."""

from dataclasses import dataclass

from .method import Method
from .registry import register_method


@register_method("uniform")
@dataclass(frozen=True)
class Uniform(Method):
    """All updates train under the mask of the uniform choice."""

    SUMMARY = "spread evenly, fixed"
