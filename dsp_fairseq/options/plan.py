"""The plan of pruning: the options, read once and applied to the blocks of one model."""

from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..config import with_defaults
from ..families import Family, family_of, inventory_of
from ..gates.choice import Choice
from ..gates.gates import Gates
from ..gates.methods import METHODS, SEARCH_SHARE, Method
from ..gates.methods.movement import Settings
from ..gates.weights.gates import MovementGates
from ..structures.ffn import FFN
from ..structures.inventory import Inventory
from ..structures.layers import LAYERS
from .budget import Budget
from .movement import group_weights


@dataclass(frozen=True)
class Plan:
    """How many units of a model decode, how they are chosen, and which weights learn during the training."""

    inventory: Inventory
    budget: Budget
    choice: Choice  # the budget, applied to the blocks of the inventory
    keep_range: tuple[int, int] | None  # lowest and highest K, when every update draws its own K
    method: type[Method]
    mode: str  # joint or pipelined
    frozen: str | None  # the part of the model whose weights do not learn
    seed: int
    options: Mapping[str, Any]  # all options of pruning by name, with the defaults of the method

    @classmethod
    def of(cls, args: Namespace, inventory: Inventory | None = None) -> "Plan":
        """The plan that options describe; their pruning method must be a registered one.

        Args:
            args: options of a command line or of a checkpoint.
            inventory: blocks of the model; None takes those of the model that the options describe.

        Raises:
            BadInput: the model has no such choice of units within the limits; the message has one line per problem.
        """
        options = with_defaults(args)
        method = METHODS[options["pruning_method"]].variant(options)
        inventory = inventory_of(args) if inventory is None else inventory
        family = family_of(args)  # None where a caller gives the blocks and no architecture
        budget = Budget.of(options, method.independent, {} if family is None else foreign_structures(family))
        return cls(
            inventory,
            budget,
            budget.choice(inventory),
            budget.keep_range(inventory),
            method,
            options["pruning_mode"],
            options["frozen"],
            getattr(args, "seed", 1),
            options,
        )

    def keeping(self, heads_to_keep: Any = None, **others: Any) -> Choice:
        """The choice for other values of the budgets, by the names of BUDGETS, under the same limits.

        Raises BadInput when there is none.
        """
        return self.budget.keeping(heads_to_keep, **others).choice(self.inventory)

    @property
    def rate(self) -> float:
        """Learning rate of the logits."""
        return self.options["pruning_lr"] or 0.0

    @property
    def scales_output(self) -> bool:
        """Whether attention blocks with closed heads scale their output (see structures/output_scaling.py)."""
        said = self.options["output_scaling"]
        if said is None or self.method.scores_weights:  # heads that are taken out of scored weights added nothing
            return self.method.scales_output
        return said == "on"

    @property
    def search_share(self) -> float:
        """Share of the planned updates that a search takes when --search-updates is not given."""
        return SEARCH_SHARE[self.mode]

    @property
    def settings(self) -> Settings:
        """How ``movement`` scores weights; only for that method."""
        return Settings.of(self.options)

    def methods(self) -> list[Method]:
        """The method of each share of the choice."""
        return [self.method.build(share.pool.total, share.keep, self.options) for share in self.choice.shares]

    def gates(self) -> Gates:
        """The gates of the model at the start of a training."""
        if self.method.scores_weights:
            weights = group_weights(self.options, self.inventory)
            return MovementGates(self.inventory, self.choice, self.methods(), self.seed, self.settings, weights)
        return Gates(self.inventory, self.choice, self.methods(), self.rate, self.seed, self.keep_range)


def foreign_structures(family: Family) -> dict[str, str]:
    """Why options about hidden units and layers are refused, by structure, where a family has no gates on these."""
    reason = f"only the heads of {family.with_article} have gates; leave it out"
    kinds = {FFN.name: family.ffn_kinds, LAYERS.name: family.layer_kinds}
    return {structure: reason for structure, own in kinds.items() if not own}
