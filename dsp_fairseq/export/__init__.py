"""Checkpoints as CTranslate2 models.

Each family has its own converter (see :meth:`~dsp_fairseq.families.Family.ctranslate2`); the rest is the same for all.
Converters, ``check.py`` and ``convert.py`` import CTranslate2, after ``requirement.py`` has found it.
"""

QUANTIZATIONS = ("none", "int8", "float16")
