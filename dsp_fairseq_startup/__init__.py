"""Start-up hook that makes fairseq 0.12.2 work with today's Python, numpy and torch.

`dsp_fairseq_startup.pth` in site-packages imports this package whenever Python starts, before any command of fairseq
runs (`--user-dir` would be too late: `fairseq-train` imports fairseq first). This file therefore imports nothing but
`sys` and `_thread`. The rest of the package is imported together with the first module of fairseq or hydra. `loading`
lists its files; `mending` has the decorators with which each file declares how it changes a module of fairseq.

The docstring of a mend says what goes wrong without it, often by quoting the error message. A mend is needed with
every version of Python, numpy and torch unless its docstring names versions. No file of this package may import
`dsp_fairseq`: `--user-dir` refuses a module of that name which was imported from elsewhere.
"""

import sys
from _thread import get_ident

MENDED_PACKAGES = ("fairseq", "fairseq_cli", "hydra")
MENDED_MODULES = ("_pytest.assertion.rewrite", "omegaconf.basecontainer")


class MendingFinder:
    """Finds modules with the other finders, and gives modules that have mends a loader that applies them."""

    def __init__(self):
        self._searching = set()  # (thread, module) of searches under way, because other finders may call this one

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in MENDED_PACKAGES and name not in MENDED_MODULES:
            return None
        search = get_ident(), name
        if search in self._searching:
            return None
        self._searching.add(search)
        try:
            spec = self._find_with_the_others(name, path, target)
        finally:
            self._searching.remove(search)
        if spec is not None and spec.loader is not None:
            from .loading import MendingLoader

            spec.loader = MendingLoader(spec.loader)
        return spec

    def _find_with_the_others(self, name, path, target):
        for finder in sys.meta_path:
            if finder is not self and hasattr(finder, "find_spec"):
                spec = finder.find_spec(name, path, target)
                if spec is not None:
                    return spec
        return None


# a second copy of this package, from another checkout, must not apply the mends again
if not any(type(finder).__name__ == "MendingFinder" for finder in sys.meta_path):
    sys.meta_path.insert(0, MendingFinder())
