"""How fast a checkpoint decodes: stock fairseq, masked heads, removed heads and an export, in one run.

``run.py`` is the order of things; ``variants.py`` and ``exported.py`` are what is measured, ``timing.py`` and
``memory.py`` how, ``agreement.py`` whether all of them translate alike.
"""
