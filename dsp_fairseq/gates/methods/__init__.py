"""Pruning methods, one file each: the gates that a method draws, its schedule, and the options that it reads."""

from .dsp import CommittedDsp
from .dsp_published import PublishedDsp
from .ste import StraightThrough

from .l0 import L0  # isort: skip (--help lists the methods in the order of their registration)
from .layerwise_l0 import LayerwiseL0  # isort: skip
from .uniform import Uniform

from .movement import Movement  # isort: skip
from .none import Unpruned  # isort: skip
from .method import SEARCH_SHARE, Method
from .option import Option
from .registry import METHODS, register_method
from .starts import UNIFORM_PRIOR, published_logits, uniform_logits

__all__ = [
    "L0",
    "METHODS",
    "SEARCH_SHARE",
    "UNIFORM_PRIOR",
    "CommittedDsp",
    "LayerwiseL0",
    "Method",
    "Movement",
    "Option",
    "PublishedDsp",
    "StraightThrough",
    "Uniform",
    "Unpruned",
    "published_logits",
    "register_method",
    "uniform_logits",
]
