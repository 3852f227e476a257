"""Runs the mends around the execution of one module."""

import functools
import importlib
import logging

from . import dataclass_defaults, full_logs, quiet, typing_io


class MendingLoader:
    """Executes a module as its own loader does, then mends it; all else (source, resources) is that loader's."""

    def __init__(self, loader, mends):
        mend_process()
        self._loader = loader
        self._mends = mends  # the files of this package with the mends

    def __getattr__(self, name):
        if name == "_loader":  # not set yet, in a copy or an unpickled instance
            raise AttributeError(name)
        return getattr(self._loader, name)

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        with dataclass_defaults.hashable_defaults():
            self._loader.exec_module(module)
        for mend in self._mends:
            apply(mend, module)


def apply(mend, module):
    """A module in which the mended name is missing, of a changed fairseq perhaps, is left as it is."""
    try:
        importlib.import_module(f"{__package__}.{mend}").mend(module)
    except Exception as error:
        logging.getLogger(__package__).warning(
            "%s is not as in fairseq 0.12.2 (%s: %s): left without the mend %s.%s",
            *(module.__name__, type(error).__name__, error, __package__, mend),
        )


@functools.lru_cache(maxsize=None)
def mend_process():
    """What has to be in place before the first module of fairseq or hydra runs; done once."""
    quiet.silence_known_messages()
    full_logs.tell_once()
    typing_io.restore()
