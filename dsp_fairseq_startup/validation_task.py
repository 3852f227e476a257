"""`KeyError: None` from `fairseq-validate DATA --path CHECKPOINT`

Where: `fairseq.options.get_validation_parser`, the only one whose task has no default although fairseq
looks the task up (the model's own task comes from the checkpoint afterwards). When: always.
"""


def mend(options):
    options.get_validation_parser.__defaults__ = ("translation",)
