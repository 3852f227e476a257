"""What the rest of the package asks about a model class, and the registry of those that can answer."""

from abc import ABC, abstractmethod
from argparse import Namespace
from collections.abc import Callable
from typing import Any, ClassVar

from fairseq.models import ARCH_MODEL_NAME_REGISTRY

from ..structures.inventory import Inventory

_FAMILIES: dict[str, "Family"] = {}  # by the name of the gated model and by that of the stock one


class Family(ABC):
    """One model class of fairseq: where its prunable units are.

    Options are a Namespace as fairseq's command line or a checkpoint gives them.
    """

    model: ClassVar[str]  # name under which fairseq knows the gated model
    stock: ClassVar[str]  # name of the stock model with the same weights

    @abstractmethod
    def original_inventory(self, options: Namespace) -> Inventory:
        """All blocks with all the units that the architecture gives them."""

    def inventory(self, options: Namespace) -> Inventory:
        """The blocks of the model that these options build.

        ``kept_heads`` is no option of a command line: a checkpoint from which units were removed carries it (see
        :meth:`Inventory.indices`).
        """
        original = self.original_inventory(options)
        kept = getattr(options, "kept_heads", None)
        return original if kept is None else original.only(kept)


def register_family(cls: type[Family]) -> type[Family]:
    """Class decorator: make a family known under the names of its models."""
    family = cls()
    _FAMILIES[cls.model] = _FAMILIES[cls.stock] = family
    return cls


def family_named(name: str | None) -> Family | None:
    """The family of a fairseq model, gated or stock; None when no family knows it."""
    return _FAMILIES.get(name or "")


def family_of(options: Any) -> Family | None:
    """The family of the architecture that options name; None when no family knows it."""
    names = (getattr(options, attribute, None) for attribute in ("_name", "arch"))
    name = next((name for name in names if isinstance(name, str)), "")
    return family_named(ARCH_MODEL_NAME_REGISTRY.get(name, name))


def inventory_of(options: Namespace) -> Inventory:
    """The blocks of the model that these options build; their architecture must be of a known family."""
    return _asked(options, lambda family: family.inventory(options))


def original_inventory(options: Namespace) -> Inventory:
    """As :func:`inventory_of`, before any unit was removed."""
    return _asked(options, lambda family: family.original_inventory(options))


def _asked(options: Namespace, question: Callable[[Family], Inventory]) -> Inventory:
    family = family_of(options)
    if family is None:
        raise ValueError(f"{getattr(options, 'arch', None)!r} is the architecture of no family")
    return question(family)
