"""Keeps known, harmless messages of third parties out of fairseq's commands; all others still show.

Each entry is one message of one module. They go in front of the user's own filters (`python -W`), because
none of them is about anything a user of fairseq could change.
"""

import logging
import warnings

# (start of the message, module that is blamed, category), all as `warnings.filterwarnings` takes them
HARMLESS_WARNINGS = (
    # fairseq always asks for pinned memory, with or without a GPU
    ("'pin_memory' argument is set as true but no accelerator is found", r"torch\.utils\.data\.", UserWarning),
    # the old spelling of torch.amp.autocast("cuda"): both work
    (r"`torch\.cuda\.amp\.(autocast|GradScaler)\(args\.\.\.\)` is deprecated", r"fairseq\.", FutureWarning),
    # fairseq gives a boolean padding mask and a float mask of the future; torch converts the first itself
    ("Support for mismatched key_padding_mask and attn_mask is deprecated", r"torch\.nn\.functional$", UserWarning),
    # about files that are no checkpoints; what is wrong with them is said in one line anyway
    ("Detected pickle protocol", r"torch\._weights_only_unpickler$", UserWarning),
    # shown by Python >= 3.12 the first time a file is compiled; the blamed "module" is then a file's path
    (".*invalid escape sequence", r".*/fairseq/", SyntaxWarning),
)

# logger, start of the message
HARMLESS_LOG_LINES = (
    # a plea of the text-to-speech task, made at every `import fairseq`
    ("fairseq.tasks.text_to_speech", "Please install tensorboardX"),
    # all options in one line, before the error that says which of them is wrong
    ("fairseq.dataclass.utils", "Error when composing. Overrides: "),
    # every number of every gradient of a training that diverged; their norms are shown
    ("fairseq.nan_detector", "gradients: "),
)


# what fairseq says in every epoch and validation of a package that is missing: start of its words -> ours, said once
MISSING_PACKAGES = {
    "tensorboard not found": "--tensorboard-logdir: tensorboard is not installed (pip install tensorboard)",
    "wandb not found": "--wandb-project: wandb is not installed (pip install wandb)",
    "Aim not found": "--aim-repo: aim is not installed (pip install aim)",
    "azureml.core not found": "--azureml-logging: azureml.core is not installed (pip install azureml-core)",
}


def silence_known_messages():
    for message, module, category in HARMLESS_WARNINGS:
        warnings.filterwarnings("ignore", message=message, module=module, category=category)
    for logger, start in HARMLESS_LOG_LINES:
        logging.getLogger(logger).addFilter(lambda record, start=start: not record.getMessage().startswith(start))
    for start, words in MISSING_PACKAGES.items():
        once = _Once(start, f"{words}, so nothing is logged there")
        logging.getLogger("fairseq.logging.progress_bar").addFilter(once)


class _Once(logging.Filter):
    def __init__(self, start, words):
        super().__init__()
        self.start, self.words, self.said = start, words, False

    def filter(self, record):
        if not record.getMessage().startswith(self.start):
            return True
        record.msg, record.args = self.words, ()
        before, self.said = self.said, True
        return not before
