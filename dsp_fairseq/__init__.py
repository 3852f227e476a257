"""dsp_fairseq: train, prune and decode Transformers with an exact number of attention heads.

A fairseq plug-in: ``fairseq-train DATA --user-dir dsp_fairseq --arch gated_transformer ...``.
"""

__version__ = "0.1.0"

from . import criterions, models, tasks  # noqa: E402,F401 (each registers its parts with fairseq)
