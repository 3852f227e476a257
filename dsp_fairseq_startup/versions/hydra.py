"""Mends for hydra 1.0.7, and omegaconf 2.0.6 that it uses, with Python 3.10 and later."""

import copy
import importlib.machinery
import pkgutil
import sys
import traceback
import types
import typing

from ..mending import View, mend


def restore_typing_io():
    """`No module named 'typing.io'` with Python >= 3.13, where hydra imports a pseudo-module that is gone."""
    if sys.version_info < (3, 13) or "typing.io" in sys.modules:
        return
    module = types.ModuleType("typing.io", "The pseudo-module that Python had until 3.12")
    module.IO, module.TextIO, module.BinaryIO = typing.IO, typing.TextIO, typing.BinaryIO
    sys.modules["typing.io"] = module


@mend("hydra.core.plugins")
def find_plugins_without_find_module(plugins):
    """`AttributeError: 'FileFinder' object has no attribute 'find_module'` at `import fairseq`, with Python >= 3.12."""
    if not hasattr(importlib.machinery.FileFinder, "find_module"):
        plugins.pkgutil = View(pkgutil, walk_packages=walk_packages)


def walk_packages(*args, **kwargs):
    for _, name, is_package in pkgutil.walk_packages(*args, **kwargs):
        yield FinderWithFindModule, name, is_package


class FinderWithFindModule:
    @classmethod
    def find_module(cls, name):
        return cls

    @staticmethod
    def load_module(name):
        return importlib.import_module(name)


@mend("hydra._internal.utils")
def print_the_real_error(hydra_utils):
    """`print_exception() got an unexpected keyword argument 'etype'` hides the real error, with Python >= 3.10."""
    hydra_utils.print_exception = lambda etype, value, tb: traceback.print_exception(type(value), value, tb)


@mend("omegaconf.basecontainer")
def copy_values_without_their_parents(basecontainer):
    """Without this mend, every command starts half a second later.

    When a value is assigned, omegaconf 2.0.6 copies the value together with its parent, the whole configuration. Here
    the copy keeps the original parent, as in omegaconf >= 2.1.
    """

    def deepcopy(node):
        parent = node._get_parent()
        return copy.deepcopy(node, {id(parent): parent})

    basecontainer.copy = View(copy, deepcopy=deepcopy)
