"""What gates load from a checkpoint of a stock model, of other gates, or of an older version.

The names of entries have no ``gates.`` prefix here.
"""

from collections.abc import Mapping

from torch import Tensor

from ..structures.inventory import Inventory
from .choice import Choice
from .stored_mask import logits_by_structure, mask_entries, stored_mask

_OF_SCORES = ("scores", "level", "score_adam.")  # beginnings of the names of what ``movement`` stores


def completed(
    there: Mapping[str, Tensor], own: Mapping[str, Tensor], start: Tensor, inventory: Inventory, choice: Choice
) -> dict[str, Tensor]:
    """The entries of a state dict of gates, without those that do not fit, and with those that it lacks.

    Args:
        there: entries of the state dict.
        own: entries of the gates that load it; those that it lacks are taken from here.
        start: the logits [H] at which these gates start, for structures that had no gates.
        inventory: the blocks of the model.
        choice: budgets and limits, for the mask of a file that has none.
    """
    found = {key: value for key, value in there.items() if key in own or not key.startswith(_OF_SCORES)}
    logits = found.get("logits")
    if logits is not None and logits.shape != start.shape:
        fitting = logits_by_structure(found, start, inventory)
        if fitting is not None:  # of a model whose gates are on other structures
            found, logits = {"logits": fitting}, fitting
    if logits is not None and logits.shape == start.shape:
        found.update(mask_entries(mask_that_decodes(found, inventory, choice), inventory))
    multipliers, ours = found.get("multipliers"), own.get("multipliers")
    if multipliers is not None and (ours is None or multipliers.shape != ours.shape):
        del found["multipliers"]  # of another method or other budgets
    return {**found, **{key: value.clone() for key, value in own.items() if key not in found}}


def mask_that_decodes(weights: Mapping[str, Tensor], inventory: Inventory, choice: Choice) -> Tensor:
    """The mask that decodes, bool [H], of gates in a state dict.

    This is the stored mask. The mask is computed from the logits where the choice asks for another number of units
    (``--model-overrides``), and where an older version wrote the file and stored no mask.
    """
    stored = stored_mask(weights, inventory)
    return stored if stored is not None and choice.accepts(stored) else choice.mask(weights["logits"].detach())
