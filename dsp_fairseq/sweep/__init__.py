"""Many trainings from one file: a grid over pruning method, heads to keep and seed.

``config.py`` is what the file may say, ``plan.py`` which cells and commands follow from it, ``check.py`` what
fairseq would refuse about them, ``estimate.py`` how long they take; ``run.py`` runs them through ``children.py``,
``records.py`` remembers what is done, ``logs.py`` reads what fairseq wrote; ``results.py``, ``table.py``,
``curves.py`` and ``survival.py`` are what comes out, ``job.py`` puts them together.
"""
