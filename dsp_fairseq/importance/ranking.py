"""From importances to the units that are left; pure functions, which know neither model nor data.

A unit is *open* until it is removed. H is the number of units in the checkpoint.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import Failed
from ..gates.choice import Choice
from ..structures.inventory import Inventory


class Ranking(NamedTuple):
    """Result of a removal of units."""

    mask: Tensor  # bool [H], True: kept
    order: Tensor  # int64 [units open at the start], flat indices: the first to go first, the most important last
    importance: Tensor  # float64 [H]: the last that was found before a unit went; nan: was never open
    removed_in: Tensor  # int64 [H]: the step, from 1, in which a unit went; 0: in none


def remove_units(
    inventory: Inventory,
    open_units: Tensor,
    choose: Callable[[Inventory], Choice],
    step: int | None,
    importance_of: Callable[[Tensor], Tensor],
    tell: Callable[[int, int], None] = lambda number, steps: None,
) -> Ranking:
    """Remove the least important units, ``step`` at a time, until exactly those of the choice are left.

    Michel et al. (NeurIPS 2019), section 4; the importance is found anew after every step, with the mask in
    place. Of equally important units the earlier stays.

    Args:
        inventory: blocks of the model, H units.
        open_units: bool [H]; the others are never considered.
        choose: budgets and limits for a model that has these units only.
        step: units removed at a time; None: all that have to go, at once.
        importance_of: from the open units, bool [H], to importances [H].
        tell: called before every step with its number, from 1, and the number of steps.
    """
    mask = open_units.clone()
    importance = torch.full(mask.shape, float("nan"), dtype=torch.float64)
    removed_in = torch.zeros(mask.shape, dtype=torch.int64)
    order: list[Tensor] = []
    shares = choose(inventory.keeping(mask.tolist())).shares
    in_units = [share.keep if share.pool.counts_units else share.units for share in shares]
    plan = unit_counts([share.units for share in shares], in_units, step)
    for number, counts in enumerate(plan, start=1):
        tell(number, len(plan))
        found = _finite(importance_of(mask), inventory.noun)[mask]
        importance[mask] = found
        stays = survivors(found, choose(inventory.keeping(mask.tolist())), counts)
        rising = torch.argsort(found, descending=True, stable=True).flip(0)
        units = torch.nonzero(mask).flatten()
        order.append(units[rising[~stays[rising]]])
        removed_in[units[~stays]] = number
        mask[units[~stays]] = False
    order.append(units[rising[stays[rising]]])
    return Ranking(mask, torch.cat(order), importance, removed_in)


def _finite(importance: Tensor, noun: str) -> Tensor:
    if not importance.isfinite().all():
        raise Failed(
            f"the importance of a {noun.removesuffix('s')} is not a finite number: the model's loss overflows on these "
            "sentences"
        )
    return importance


def unit_counts(units: Sequence[int], keep: Sequence[int], step: int | None) -> list[tuple[int, ...]]:
    """Units left in each share after each step: from ``units`` to exactly ``keep``, ``step`` fewer each time.

    The last step takes what is left to take. Shares lose units in turn, in proportion to what they have to
    lose; their counts never rise (the divisor method of Sainte-Laguë). One step when there is nothing to remove.
    """
    surplus = [there - kept for there, kept in zip(units, keep, strict=True)]
    turns = sorted(((n + 0.5) / lose, share) for share, lose in enumerate(surplus) for n in range(lose))
    left, plan = list(units), []
    size = max(len(turns), 1) if step is None else step
    for start in range(0, max(len(turns), 1), size):
        for _, share in turns[start : start + size]:
            left[share] -= 1
        plan.append(tuple(left))
    return plan


def survivors(importance: Tensor, choice: Choice, counts: Sequence[int]) -> Tensor:
    """The units that stay when ``counts`` are left in the shares: bool [open units].

    The best choice within the final budgets and limits stays in any case, so that they can be kept to; the
    others in the order of their importance [open units]. Where there are no limits those are simply the best.
    """
    if choice.holders:  # layers are chosen first, and in one step
        return choice.mask(importance)
    pieces = []
    for piece, share, count in zip(choice.cut(importance), choice.shares, counts, strict=True):
        if not share.pool.counts_units:  # a budget in parameters is met in one step
            pieces.append(share.pool.mask(piece, share.keep))
            continue
        falling = torch.argsort(piece, descending=True, stable=True)
        chosen = share.pool.mask(piece, share.keep)[falling]
        ranked = torch.cat([falling[chosen], falling[~chosen]])
        pieces.append(torch.zeros(piece.shape, dtype=torch.bool).index_fill(0, ranked[:count], True))
    return torch.cat(pieces)


def normalised(importance: Tensor, sizes: Sequence[int]) -> Tensor:
    """Importances [H] divided by the L2 norm of those of their block (Molchanov et al., ICLR 2017).

    A block in which all are zero stays so. A block's only unit has 1, the most there is: removed step by step,
    units of other blocks go before it.
    """
    return torch.cat([piece / (piece.norm() or 1.0) for piece in importance.split(list(sizes))])


def ranks(ranking: Ranking, logits: Tensor) -> Tensor:
    """Logits [H], float64, 0 to H - 1, whose top k, for every k, are the last k that this removal would have left.

    Units that were not open at the start come first, in the order of the ``logits`` that they had.
    """
    closed = torch.ones(logits.shape, dtype=torch.bool).index_fill(0, ranking.order, False)
    before = torch.nonzero(closed).flatten()
    rising = before[torch.argsort(logits[before], descending=True, stable=True).flip(0)]
    order = torch.cat([rising, ranking.order])
    return torch.empty(logits.shape, dtype=torch.float64).index_copy(0, order, torch.arange(len(order)).double())
