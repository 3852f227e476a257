"""`TypeError: print_exception() got an unexpected keyword argument 'etype'` in place of the real error

Where: hydra 1.0.7, `hydra/_internal/utils.py`, for every error inside `fairseq-hydra-train`.
When: Python >= 3.10, which renamed that argument.
"""

import traceback


def mend(hydra_utils):
    hydra_utils.print_exception = _print_exception


def _print_exception(etype, value, tb):
    traceback.print_exception(type(value), value, tb)
