"""dsp_fairseq: train, prune and decode Transformers with an exact number of attention heads.

A fairseq plug-in: ``fairseq-train DATA --user-dir dsp_fairseq --arch gated_transformer ...``.
"""

import sys

__version__ = "0.1.0"

# Whether this process is the command `dsp-fairseq`, which answers --help without fairseq and torch, and calls
# `register` only to do work. Processes that it starts with multiprocessing have the same name, but register at once.
IS_COMMAND = bool(sys.argv) and sys.argv[0].endswith("/dsp-fairseq") and "multiprocessing.spawn" not in sys.modules


def register() -> None:
    """Register the architectures, the task and the criterion with fairseq."""
    from . import criterions, models, tasks  # noqa: F401 (each registers its parts)


if IS_COMMAND:
    from . import interrupt

    interrupt.end_in_one_line()
else:
    register()
