"""Runs the mends around the execution of one module."""

import functools
import importlib
import logging

from . import dataclass_defaults, full_logs, plain_values, quiet, typing_io

# not for processes that `multiprocessing` spawns: they run the main module under another name
RUN_AS_A_SCRIPT = """
if __name__ == "__main__":
    from {0} import cli_main
    cli_main()
"""


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

    def get_code(self, name):
        """`python -m NAME` runs a module's code without importing it: let a command import itself, and be mended."""
        if "console" in self._mends:
            return compile(RUN_AS_A_SCRIPT.format(name), self._loader.get_filename(name), "exec")
        return self._loader.get_code(name)

    def exec_module(self, module):
        if module.__name__.partition(".")[0] in ("fairseq", "fairseq_cli"):
            module.eval = plain_values.plain_value
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


@functools.cache
def mend_process():
    """What has to be in place before the first module of fairseq or hydra runs; done once."""
    quiet.silence_known_messages()
    full_logs.tell_once()
    typing_io.restore()
