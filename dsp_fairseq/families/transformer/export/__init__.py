"""A fairseq Transformer as a CTranslate2 model. Importing this needs CTranslate2."""

from .refusals import option_problems
from .spec import specification

__all__ = ["option_problems", "specification"]
