"""How fast a checkpoint does its work: stock fairseq, masked heads, removed heads and an export, in one run.

``run.py`` has the steps; ``variants.py`` and ``exported.py`` have the models that are measured, ``timing.py`` and
``memory.py`` measure them, ``agreement.py`` compares what they do. What is timed says the family
(``families/work.py``): translating sentences, or reading and continuing texts.
"""
