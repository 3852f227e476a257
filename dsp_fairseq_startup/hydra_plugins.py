"""`AttributeError: 'FileFinder' object has no attribute 'find_module'`

Where: hydra 1.0.7, `hydra/core/plugins.py`, which looks for plug-ins at `import fairseq`.
When: Python >= 3.12, which took `find_module` out of its finders.
"""

import importlib
import importlib.machinery
import pkgutil


def mend(plugins):
    if not hasattr(importlib.machinery.FileFinder, "find_module"):
        plugins.pkgutil = _PkgutilWithFindModule


class _FinderWithFindModule:
    @classmethod
    def find_module(cls, name):
        return cls

    @staticmethod
    def load_module(name):
        return importlib.import_module(name)


class _PkgutilWithFindModule:
    """The one function of `pkgutil` that hydra's plugins.py uses."""

    @staticmethod
    def walk_packages(*args, **kwargs):
        for _, name, is_package in pkgutil.walk_packages(*args, **kwargs):
            yield _FinderWithFindModule, name, is_package
