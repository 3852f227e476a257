"""Runs the mends around the execution of one module."""

import functools
import importlib

from . import dataclass_defaults, plain_values, quiet, typing_io


class MendingLoader:
    """Executes a module as its own loader does, then mends it; all else (source, resources) is that loader's."""

    def __init__(self, loader, mends):
        mend_process()
        self._loader = loader
        self._mends = mends  # files of this package

    def __getattr__(self, name):
        if name == "_loader":  # not set yet, in a copy or an unpickled instance
            raise AttributeError(name)
        return getattr(self._loader, name)

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        if module.__name__.partition(".")[0] in ("fairseq", "fairseq_cli"):
            module.eval = plain_values.plain_value
        with dataclass_defaults.hashable_defaults():
            self._loader.exec_module(module)
        for mend in self._mends:
            importlib.import_module(f"{__package__}.{mend}").mend(module)


@functools.lru_cache(maxsize=None)
def mend_process():
    """What has to be in place before the first module of fairseq or hydra runs; done once."""
    quiet.silence_known_messages()
    typing_io.restore()
