"""``dsp-fairseq sweep``: many models from one file, a grid over pruning method, heads to keep and seed.

``config.py`` reads the file, ``plan.py`` makes the cells and their commands, ``check.py`` parses these commands
before they run, ``estimate.py`` says how long they take. ``run.py`` runs the cells as jobs, which ``executors.py``
starts and which run ``steps.py``. ``records.py`` stores the finished work of a cell, ``logs.py`` reads the output
of fairseq, ``trained.py`` the checkpoint. ``results.py``, ``table.py``, ``curves.py`` and ``survival.py`` make the
results, and ``job.py`` calls all of them in order.
"""
