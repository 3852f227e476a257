"""The commands of ``dsp-fairseq``, one file each.

A file has ``HELP`` (one line), ``add_arguments(parser)`` and ``run(arguments)``, which returns the exit
status or None for 0. It imports what is slow to import inside ``run``. Before, ``check(arguments)`` refuses what is
wrong at first sight, without torch; a command without it needs no torch at all.
"""
