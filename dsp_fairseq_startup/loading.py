"""The loader that executes a module of fairseq or hydra and then applies the mends that are declared for it."""

import functools
import importlib
import logging

from . import console, logs
from .mending import MENDS
from .options.plain_values import plain_value
from .versions import dataclass_defaults, hydra

# The files that declare mends. If two files surround one function, the function of the later file runs first.
FILES = (
    *("versions.hydra", "versions.libraries"),
    *("checkpoints.load", "checkpoints.saving", "checkpoints.unfit", "checkpoints.overrides"),
    *("data.indexed", "data.words", "data.preprocessing"),
    *("decoding.alignments", "decoding.interactive", "decoding.unread", "decoding.checks"),
    *("scoring.command", "scoring.empty_sentences"),
    *("training.best", "training.checks", "training.divergence", "training.one_folder"),
    *("options.command_line", "options.user_dir", "console"),
)

# the `if` is for processes that `multiprocessing` spawns: they run the main module under another name
RUN_AS_A_SCRIPT = """
if __name__ == "__main__":
    from {0} import cli_main
    cli_main()
"""


class MendingLoader:
    """Executes a module with its own loader, then mends it; everything else is left to its own loader."""

    def __init__(self, loader):
        prepare_process()
        self._loader = loader

    def __getattr__(self, name):
        if name == "_loader":  # a copy or an unpickled instance has no such attribute yet
            raise AttributeError(name)
        return getattr(self._loader, name)

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def get_code(self, name):
        """The code of a module; for a command of fairseq, code that imports the command and calls it.

        `python -m NAME` runs this code without `exec_module`, so that a command would not be mended otherwise.
        """
        if name in console.COMMANDS:
            return compile(RUN_AS_A_SCRIPT.format(name), self._loader.get_filename(name), "exec")
        return self._loader.get_code(name)

    def exec_module(self, module):
        if module.__name__.partition(".")[0] in ("fairseq", "fairseq_cli"):
            module.eval = plain_value
        with dataclass_defaults.hashable_defaults():
            self._loader.exec_module(module)
        apply_mends(module)


@functools.cache
def prepare_process():
    """Prepare this process, once, before the first module of fairseq or hydra is executed."""
    logs.silence_known_messages()
    logs.report_full_disks_once()
    hydra.restore_typing_io()
    for file in FILES:
        importlib.import_module(f"{__package__}.{file}")


def apply_mends(module):
    """Apply all mends of a module. A mend that fails, as with another version of fairseq, is logged and left out."""
    for mend, apply in sorted(MENDS.get(module.__name__, ()), key=_position):
        try:
            apply(module)
        except Exception as error:
            logging.getLogger(__package__).warning(
                "%s is not as in fairseq 0.12.2 (%s: %s): left without the mend %s",
                *(module.__name__, type(error).__name__, error, f"{mend.__module__}.{mend.__name__}"),
            )


def _position(entry):
    return FILES.index(entry[0].__module__.removeprefix(f"{__package__}."))
