"""Makes ``--retain-dropout-modules`` accept the names of fairseq's stock modules for gated modules."""

import logging
import re
from typing import Any

from fairseq.modules import FairseqDropout
from torch import nn

logger = logging.getLogger(__name__)


def retained(model: nn.Module, asked: Any) -> list[str]:
    """The names that fairseq needs so that dropout stays on in the modules that the user asked for.

    fairseq compares names of classes only. Here a module matches the name of its class and of every base class, with
    or without the suffix ``Base``. A name that matches no module is logged as a warning.

    Args:
        model: the model.
        asked: the value of ``--retain-dropout-modules``, as a list of names or as one string.
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
    """The names that fairseq compares for the dropouts that are direct children of ``module``."""
    return [child.module_name for child in module.children() if isinstance(child, FairseqDropout)]


def _known(model: nn.Module) -> list[str]:
    """The names of the stock classes for all modules of this model that have a dropout."""
    owners = [module for module in model.modules() if _own_dropouts(module)]
    stock = [next(kind for kind in type(owner).__mro__ if kind.__module__.startswith("fairseq.")) for owner in owners]
    return sorted({_stock_name(kind.__name__) for kind in stock})


def _names_of(module: nn.Module) -> set[str]:
    return {_stock_name(kind.__name__) for kind in type(module).__mro__}


def _stock_name(name: str) -> str:
    return name.removesuffix("Base")
