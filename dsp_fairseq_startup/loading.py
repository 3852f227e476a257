"""Runs the mends around the execution of one module."""

import functools
import importlib

from . import dataclass_defaults, quiet, typing_io


class MendingLoader:
    """Executes a module as its own loader does, then mends it; all else (source, resources) is that loader's."""

    def __init__(self, loader, mend):
        mend_process()
        self._loader = loader
        self._mend = mend  # the file of this package with the mend, or None

    def __getattr__(self, name):
        if name == "_loader":  # not set yet, in a copy or an unpickled instance
            raise AttributeError(name)
        return getattr(self._loader, name)

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        with dataclass_defaults.hashable_defaults():
            self._loader.exec_module(module)
        if self._mend is not None:
            importlib.import_module(f"{__package__}.{self._mend}").mend(module)


@functools.lru_cache(maxsize=None)
def mend_process():
    """What has to be in place before the first module of fairseq or hydra runs; done once."""
    quiet.silence_known_messages()
    typing_io.restore()
