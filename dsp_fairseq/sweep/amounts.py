"""How much a model of a sweep keeps, and which methods choose what is kept."""

from typing import NamedTuple

from ..errors import flag
from ..gates.methods import METHODS
from ..option_names import BUDGETS
from .flags import Words

UNPRUNED = "none"  # the method of the trainings that `unpruned: true` adds
HEADS_TO_KEEP = "heads_to_keep"
LAYERS = flag("layers_to_keep")  # the one budget that goes beside another one
WEIGHTS = "weights_to_keep"  # what methods that score weights keep, and no other method
AMOUNTS = (*BUDGETS, WEIGHTS)  # lists of the grid that say how much is kept


class Amount(NamedTuple):
    """How much a model keeps: one of AMOUNTS, and its value."""

    option: str
    value: str

    @property
    def label(self) -> str:
        """For names of folders: the number of heads, or the unit before the number."""
        text = self.value.replace("%", "pct")
        return text if self.option == HEADS_TO_KEEP else f"{self.option.removesuffix('_to_keep')}-{text}"

    @property
    def in_words(self) -> str:
        """For tables, such as ``50% of parameters`` or ``64 hidden units``; heads and layers are the value alone."""
        nouns = {"ffn_to_keep": "hidden units", "parameters_to_keep": "parameters", WEIGHTS: "weights"}
        noun = nouns.get(self.option)
        return self.value if noun is None else f"{self.value} {'of ' * self.value.endswith('%')}{noun}"

    @property
    def words(self) -> Words:
        return flag(self.option), self.value


def trained_methods() -> list[str]:
    """The registered methods that choose units, and so take a number of heads or another budget."""
    return [name for name in pruning_methods() if not scores_weights(name)]


def pruning_methods() -> list[str]:
    return [name for name in METHODS if name != UNPRUNED]


def scores_weights(method: str) -> bool:
    """Whether a method scores blocks of weights and chooses no units; ``method`` may be any name of the table."""
    return method in METHODS and METHODS[method].scores_weights
