"""A Transformer language model as a CTranslate2 generator. Importing this needs CTranslate2."""

from . import runtime
from .refusals import option_problems
from .spec import specification

__all__ = ["option_problems", "runtime", "specification"]
