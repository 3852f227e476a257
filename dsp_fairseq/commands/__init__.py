"""The commands of ``dsp-fairseq``, one file each.

A file has ``HELP`` (one line), ``add_arguments(parser)`` and ``run(arguments)``, which returns the exit status, or
None for status 0. Modules that are slow to import are imported inside ``run``. ``check(arguments)`` is called before
``run`` and raises BadInput for wrong input that can be found without torch. A command without ``check`` runs
without fairseq and torch.
"""
