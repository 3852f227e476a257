"""Hides harmless messages of libraries in fairseq's commands, and shows others once instead of many times.

Each entry is one message of one module. The filters of warnings come before the user's own (`python -W`), because a
user of fairseq could not change the cause of any of these messages.
"""

import contextlib
import logging
import sys
import warnings

from .errors import disk_error

# (start of the message, module that is blamed, category), all as `warnings.filterwarnings` takes them
HARMLESS_WARNINGS = (
    # fairseq always asks for pinned memory, with or without a GPU
    ("'pin_memory' argument is set as true but no accelerator is found", r"torch\.utils\.data\.", UserWarning),
    # the old spelling of torch.amp.autocast("cuda"): both work
    (r"`torch\.cuda\.amp\.(autocast|GradScaler)\(args\.\.\.\)` is deprecated", r"fairseq\.", FutureWarning),
    # fairseq gives torch a bool padding mask and a float attention mask; torch converts the first one itself
    ("Support for mismatched key_padding_mask and attn_mask is deprecated", r"torch\.nn\.functional$", UserWarning),
    # torch warns of this for files that are no checkpoints, for which there is an error message of one line
    ("Detected pickle protocol", r"torch\._weights_only_unpickler$", UserWarning),
    # Python >= 3.12 shows this when it first compiles a file; here the "module" is the path of the file
    (".*invalid escape sequence", r".*/fairseq/", SyntaxWarning),
)

# (logger, start of the message)
HARMLESS_LOG_LINES = (
    # the text-to-speech task logs this at every `import fairseq`
    ("fairseq.tasks.text_to_speech", "Please install tensorboardX"),
    # a line with all options, before the error that says which of them is wrong
    ("fairseq.dataclass.utils", "Error when composing. Overrides: "),
    # all gradients of a training that diverged, number by number; the norms of the gradients are still shown
    ("fairseq.nan_detector", "gradients: "),
)

# beginning of a message that fairseq shows in every epoch and validation -> our message, shown once
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
    for start, message in MISSING_PACKAGES.items():
        once = Once(start, f"{message}, so nothing is logged there")
        logging.getLogger("fairseq.logging.progress_bar").addFilter(once)


class Once(logging.Filter):
    """Shows `message` in place of the first record that begins with `start`, and nothing in place of the others."""

    def __init__(self, start, message):
        super().__init__()
        self.start, self.message, self.was_shown = start, message, False

    def filter(self, record):
        if not record.getMessage().startswith(self.start):
            return True
        record.msg, record.args = self.message, ()
        before, self.was_shown = self.was_shown, True
        return not before


def report_full_disks_once():
    """Report a log file (`--log-file`, `preprocess.log`) on a full disk by one warning, not one traceback per line.

    The command continues without the lines. Other errors of a log file are reported as before.
    """
    handle = logging.Handler.handleError
    reported = set()

    def handle_error(self, record):
        problem = disk_error(sys.exc_info()[1])
        if problem is None:
            return handle(self, record)
        if id(self) not in reported:
            reported.add(id(self))
            with contextlib.suppress(OSError):
                print(f"warning: lines are missing in a log: {problem}", file=sys.stderr)

    logging.Handler.handleError = handle_error
