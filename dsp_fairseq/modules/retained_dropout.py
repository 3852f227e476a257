"""Which dropouts ``--retain-dropout-modules`` asks for: gated modules answer to the names of fairseq's own."""

import logging
import re
from typing import Any

from fairseq.modules import FairseqDropout
from torch import nn

logger = logging.getLogger(__name__)


def retained(model: nn.Module, asked: Any) -> list[str]:
    """What fairseq has to be given so that the dropouts of the modules that are ``asked`` for stay on.

    fairseq compares names of classes. Here a module has the names of its class and of those that it is derived
    from, with or without ``Base``. ``asked`` is a list, or a command line's one string of names.
    """
    names = {_stock_name(name) for name in re.findall(r"\w+", str(asked))}
    found, answered = set(), set()
    for module in model.modules():
        answered |= names & _names_of(module)
        if names & _names_of(module):
            found.update(_own_dropouts(module))
    for name in sorted(names - answered):
        logger.warning(
            "--retain-dropout-modules %s: no module of this model has that name; there are %s",
            *(name, ", ".join(_known(model))),
        )
    return sorted(found)


def _own_dropouts(module: nn.Module) -> list[str]:
    """Names that the module's dropouts have in fairseq's comparison."""
    return [child.module_name for child in module.children() if isinstance(child, FairseqDropout)]


def _known(model: nn.Module) -> list[str]:
    """Names of the stock classes whose dropouts this model has."""
    owners = [module for module in model.modules() if _own_dropouts(module)]
    return sorted({_stock_name(type(owner).__mro__[1].__name__) for owner in owners})


def _names_of(module: nn.Module) -> set[str]:
    return {_stock_name(kind.__name__) for kind in type(module).__mro__}


def _stock_name(name: str) -> str:
    return name.removesuffix("Base")
