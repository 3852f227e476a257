"""The base class of families, which answers what other rooms ask about a model class, and the registry of families."""

import math
from abc import ABC, abstractmethod
from argparse import Namespace
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, Protocol

from fairseq.data import FairseqDataset
from fairseq.models import ARCH_MODEL_NAME_REGISTRY, MODEL_REGISTRY
from torch import Tensor

from ..errors import BadInput
from ..structures.inventory import Inventory
from .data import DataFolder, WordsOf
from .values import is_whole
from .work import Work

_FAMILIES: dict[str, "Family"] = {}  # by the name of the gated model and by that of the stock one


class Converter(Protocol):
    """How the models of a family become CTranslate2 models.

    A converter of models that do not translate also has a ``runtime``, with the functions of ``export/check.py`` that
    depend on what the models do.
    """

    def option_problems(self, options: Namespace) -> list[str]:
        """One line per option with which a model cannot be exported."""

    def specification(
        self, model: Any, weights: Mapping[str, Tensor], inventory: Inventory, source: list[str], target: list[str]
    ) -> Any:
        """The CTranslate2 specification of a model whose ``weights`` have only the units of ``inventory`` left.

        ``source`` and ``target`` are the words of its dictionaries.
        """


class Size(NamedTuple):
    """What the time of a training depends on."""

    weights: int  # number of weights that each word is multiplied by
    width: int  # D of the model; width x inner is the shape of a typical matrix, for measuring speed
    inner: int  # hidden units of a feed-forward layer


class Family(ABC):
    """One model class of fairseq: where its prunable units are, how it is built and tested.

    A family must define the abstract methods. Each method that raises BadInput or LookupError here serves one command.

    Options are a Namespace as fairseq's command line or a checkpoint gives them, weights a state dict.
    """

    model: ClassVar[str]  # name under which fairseq knows the gated model
    stock: ClassVar[str]  # name of the stock model with the same weights; empty when fairseq has none
    stock_task: ClassVar[str]  # fairseq's task and criterion for the stock model
    stock_criterion: ClassVar[str]
    evaluated_by: ClassVar[str] = ""  # fairseq's command that measures how good a model is, which sweeps need
    training_task: ClassVar[str] = ""  # the package's task and criterions with which a choice can be learned
    training_criterions: ClassVar[tuple[str, ...]] = ()
    kinds: ClassVar[tuple[str, ...]]  # kinds of attention block, in flat order
    ffn_kinds: ClassVar[tuple[str, ...]] = ()  # kinds of feed-forward block, after those
    layer_kinds: ClassVar[tuple[str, ...]] = ()  # kinds of stacks of layers, after those; their dot follows the part
    parts: ClassVar[tuple[str, ...]]  # attributes of the model that together hold all weights; --frozen names one
    structure: ClassVar[tuple[str, ...]] = ()  # options that are the same in all checkpoints of one training
    defaults: ClassVar[Mapping[str, Any]] = MappingProxyType({})  # value that fairseq uses for an option stored as None
    group: ClassVar[int | None] = None  # hidden units that are removed together; None: feed-forward blocks stay whole
    # module outside of blocks -> its row in tables of parameters
    submodules: ClassVar[Mapping[str, str]] = MappingProxyType({})
    # texts for the placeholders in the help of options (see config.py)
    help: ClassVar[Mapping[str, str]] = MappingProxyType({})

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
        return original if kept is None else original.only({**original.indices(), **kept})

    def layer_options(self, layers: Mapping[str, int]) -> dict[str, Any]:
        """The options of a model that has so many layers, by part of the model.

        Empty for families whose inventory has no stacks of layers.
        """
        return {}

    def layers_after_removal(self, options: Any) -> tuple[int, int] | None:
        """How many layers the model of a checkpoint has, and had before some were removed; None if none were."""
        before = getattr(options, "layers_before", None)
        names = self.layer_options(dict.fromkeys(self.parts, 0))
        if not isinstance(before, Mapping) or not names:
            return None
        now, then = ([own.get(name, 0) for name in names] for own in (vars(options), before))
        return (sum(now), sum(then)) if all(map(is_whole, [*now, *then])) else None

    def type_problems(self, options: Any) -> list[str]:
        """One line per option that is missing or has an impossible value; the later checks rely on this one."""
        return []

    def unsupported(self, options: Namespace) -> list[str]:
        """One line per option of the stock model that cannot work together with gates."""
        return []

    def shape_problems(self, options: Namespace) -> list[str]:
        """One line per option that no model can be computed with."""
        return []

    def structure_problems(self, options: Namespace, path: str, stored: Namespace) -> list[str]:
        """A line when a model of these options cannot take the weights of ``path``, whose options are ``stored``."""
        return []

    def teacher_problems(self, path: str, state: Mapping[str, Any], stored: Namespace, options: Namespace) -> list[str]:
        """Why the model of a checkpoint cannot teach a model that is trained with ``options``, one line each.

        Args:
            path: of the checkpoint, as ``--teacher`` gives it.
            state: the loaded checkpoint.
            stored: options of its model.
            options: all options of the training; its data folder is there.
        """
        return []

    def data_problems(self, options: Namespace) -> list[str]:
        """Why a training with these options, of a whole command line, cannot read its data folder, one line each."""
        return []

    @abstractmethod
    def task_of(self, weights: Mapping[str, Tensor], dictionary: Callable[[int], Any]) -> Namespace:
        """What a model reads from its task, such as its dictionaries; ``dictionary(n)`` makes one of n words."""

    def without_files(self, options: Namespace) -> Namespace:
        """The options without files that training read and a checkpoint replaces, such as pretrained embeddings."""
        return options

    @abstractmethod
    def weight_problems(self, options: Namespace, weights: Mapping[str, Tensor]) -> list[str]:
        """One line for each weight of a checkpoint that does not fit its options; called before a model is built."""

    @abstractmethod
    def probe(self, model: Any) -> Tensor:
        """Logits [tokens, types] of the model for fixed random inputs of several lengths."""

    def max_positions(self, options: Namespace) -> Any:
        """Most words of an input of the model, as ``FairseqDataset.filter_indices_by_size`` takes them."""
        return math.inf

    def dictionaries(self, data: DataFolder) -> list[WordsOf]:
        """The dictionaries of a data folder, source first; raises BadInput when they do not fit the weights."""
        raise BadInput(f"data folder {data.path}: nothing is known of the dictionaries of a {self.model}")

    def dataset(self, data: DataFolder, subset: str) -> FairseqDataset:
        """A subset of a data folder, whose batches have ``net_input`` and ``target``.

        Raises BadInput when it is missing or does not fit the weights.
        """
        raise BadInput(
            f"--score gradient: nothing is known of the data of a {self.model}; choose --score magnitude or random"
        )

    def log_probabilities(self, model: Any, sample: Mapping[str, Any]) -> Tensor:
        """Log-probabilities [batch, target, types] that the model gives every word after the words of a batch."""
        return model(**sample["net_input"])[0].log_softmax(dim=-1)

    def logits(self, model: Any, net_input: Mapping[str, Tensor]) -> Tensor:
        """Numbers [batch, target, types] whose softmax is the distribution of the model over the next word."""
        return model(**net_input)[0]

    def ctranslate2(self) -> Converter | None:
        """The converter to CTranslate2, or None; called only when CTranslate2 is installed."""
        return None

    def work(self) -> Work:
        """What ``dsp-fairseq bench`` times."""
        raise LookupError(f"nothing is known of the work of {self.with_article}, which bench would time")

    def size(self, options: Namespace, words: int) -> Size:
        """The size of the model that options describe; ``words`` is the size of its largest dictionary."""
        raise LookupError(f"nothing is known of the size of a {self.model}")

    def gated_architecture(self, name: str) -> str:
        """The gated architecture that has the same options as the stock architecture ``name``."""
        gated = f"gated_{name}"
        return gated if gated in ARCH_MODEL_NAME_REGISTRY else self.model

    def stock_architecture(self, name: str) -> str:
        """The stock architecture that has the same options as the gated architecture ``name``."""
        stock = name.replace(self.model, self.stock)
        return stock if stock in ARCH_MODEL_NAME_REGISTRY else self.stock

    @property
    def with_article(self) -> str:
        """The name of the model in a sentence, such as ``a gated_transformer``."""
        return f"{'an' if self.model[0] in 'aeiou' else 'a'} {self.model}"

    def model_class(self, gated: bool) -> Any:
        """The model class that is registered in fairseq."""
        return MODEL_REGISTRY[self.model if gated else self.stock]


def register_family(cls: type[Family]) -> type[Family]:
    """Class decorator: make a family known under the names of its models."""
    names = filter(None, (cls.model, cls.stock))
    _FAMILIES.update(dict.fromkeys(names, cls()))
    return cls


def families() -> list[Family]:
    """All registered families."""
    return list(dict.fromkeys(_FAMILIES.values()))


def known_models() -> str:
    """The models of all families, for messages."""
    return " or ".join(
        f"{family.with_article} or of the stock {family.stock}" if family.stock else family.with_article
        for family in families()
    )


def known_kinds() -> tuple[str, ...]:
    """The kinds of block of all families, attention first, stacks of layers last."""
    attention = [kind for family in families() for kind in family.kinds]
    return tuple(dict.fromkeys([*attention, *known_ffn_kinds(), *known_layer_kinds()]))


def known_layer_kinds() -> tuple[str, ...]:
    """The kinds of stacks of layers of all families."""
    return tuple(dict.fromkeys(kind for family in families() for kind in family.layer_kinds))


def known_ffn_kinds() -> tuple[str, ...]:
    """The kinds of feed-forward block of all families."""
    return tuple(dict.fromkeys(kind for family in families() for kind in family.ffn_kinds))


def family_named(name: str | None) -> Family | None:
    """The family of a fairseq model, gated or stock; None when no family knows it."""
    return _FAMILIES.get(name or "")


def family_of(options: Any) -> Family | None:
    """The family of the architecture that options name; None when no family knows it."""
    name = architecture_of(options)
    return family_named(ARCH_MODEL_NAME_REGISTRY.get(name, name))


def architecture_of(options: Any) -> str:
    """The name of the architecture in options; empty when there is none."""
    names = (getattr(options, attribute, None) for attribute in ("_name", "arch"))
    return next((name for name in names if isinstance(name, str)), "")


def is_gated(options: Any) -> bool:
    """Whether options are of a gated model."""
    family, name = family_of(options), architecture_of(options)
    return family is not None and ARCH_MODEL_NAME_REGISTRY.get(name, name) == family.model


def inventory_of(options: Namespace) -> Inventory:
    """The blocks of the model that these options build; their architecture must be of a known family."""
    return known_family(options).inventory(options)


def original_inventory(options: Namespace) -> Inventory:
    """As :func:`inventory_of`, before any unit was removed."""
    return known_family(options).original_inventory(options)


def known_family(options: Namespace) -> Family:
    """As :func:`family_of`; raises ValueError when no family knows the architecture."""
    family = family_of(options)
    if family is None:
        raise ValueError(f"{architecture_of(options)!r} is the architecture of no family")
    return family
