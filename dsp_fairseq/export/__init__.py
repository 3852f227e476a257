"""Checkpoints as CTranslate2 models.

``padding.py`` and ``folder.py`` know nothing of CTranslate2; it is imported only by ``specification.py``,
``check.py`` and what imports those, once ``requirement.py`` has seen that it is there.
"""

QUANTIZATIONS = ("none", "int8", "float16")
