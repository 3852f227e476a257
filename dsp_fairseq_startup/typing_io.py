"""`ModuleNotFoundError: No module named 'typing.io'`

Where: the grammar of hydra 1.0.7 and the antlr4 4.8 runtime below it, at `import fairseq`.
When: Python >= 3.13; before, `typing.io` was a pseudo-module with three names of `typing`.
"""

import sys
import types
import typing


def restore():
    if sys.version_info < (3, 13) or "typing.io" in sys.modules:
        return
    module = types.ModuleType("typing.io", "The pseudo-module that Python had until 3.12")
    module.IO, module.TextIO, module.BinaryIO = typing.IO, typing.TextIO, typing.BinaryIO
    sys.modules["typing.io"] = module
