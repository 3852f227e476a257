"""From importances to the heads that are left; pure functions, which know neither model nor data.

A head is *open* until it is removed. H is the number of heads in the checkpoint.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import Failed
from ..gates.choice import Choice
from ..structures.inventory import Inventory


class Ranking(NamedTuple):
    """Result of a removal of heads."""

    mask: Tensor  # bool [H], True: kept
    order: Tensor  # int64 [heads open at the start], flat indices: the first to go first, the most important last
    importance: Tensor  # float64 [H]: the last that was found before a head went; nan: was never open
    removed_in: Tensor  # int64 [H]: the step, from 1, in which a head went; 0: in none


def remove_heads(
    inventory: Inventory,
    open_heads: Tensor,
    choose: Callable[[Inventory], Choice],
    step: int | None,
    importance_of: Callable[[Tensor], Tensor],
    tell: Callable[[int, int], None] = lambda number, steps: None,
) -> Ranking:
    """Remove the least important heads, ``step`` at a time, until exactly those of the choice are left.

    Michel et al. (NeurIPS 2019), section 4; the importance is found anew after every step, with the mask in
    place. Of equally important heads the earlier stays.

    Args:
        inventory: blocks of the model, H heads.
        open_heads: bool [H]; the others are never considered.
        choose: budgets and limits for a model that has these heads only.
        step: heads removed at a time; None: all that have to go, at once.
        importance_of: from the open heads, bool [H], to importances [H].
        tell: called before every step with its number, from 1, and the number of steps.
    """
    mask = open_heads.clone()
    importance = torch.full(mask.shape, float("nan"), dtype=torch.float64)
    removed_in = torch.zeros(mask.shape, dtype=torch.int64)
    order: list[Tensor] = []
    shares = choose(inventory.keeping(mask.tolist())).shares
    in_units = [share.keep if share.pool.counts_units else share.units for share in shares]
    plan = head_counts([share.units for share in shares], in_units, step)
    for number, counts in enumerate(plan, start=1):
        tell(number, len(plan))
        found = _finite(importance_of(mask))[mask]
        importance[mask] = found
        stays = survivors(found, choose(inventory.keeping(mask.tolist())), counts)
        rising = torch.argsort(found, descending=True, stable=True).flip(0)
        heads = torch.nonzero(mask).flatten()
        order.append(heads[rising[~stays[rising]]])
        removed_in[heads[~stays]] = number
        mask[heads[~stays]] = False
    order.append(heads[rising[stays[rising]]])
    return Ranking(mask, torch.cat(order), importance, removed_in)


def _finite(importance: Tensor) -> Tensor:
    if not importance.isfinite().all():
        raise Failed("the importance of a head is not a finite number: the model's loss overflows on these sentences")
    return importance


def head_counts(heads: Sequence[int], keep: Sequence[int], step: int | None) -> list[tuple[int, ...]]:
    """Heads left in each share after each step: from ``heads`` to exactly ``keep``, ``step`` fewer each time.

    The last step takes what is left to take. Shares lose heads in turn, in proportion to what they have to
    lose; their counts never rise (the divisor method of Sainte-Laguë). One step when there is nothing to remove.
    """
    surplus = [there - kept for there, kept in zip(heads, keep, strict=True)]
    turns = sorted(((n + 0.5) / lose, share) for share, lose in enumerate(surplus) for n in range(lose))
    left, plan = list(heads), []
    size = max(len(turns), 1) if step is None else step
    for start in range(0, max(len(turns), 1), size):
        for _, share in turns[start : start + size]:
            left[share] -= 1
        plan.append(tuple(left))
    return plan


def survivors(importance: Tensor, choice: Choice, counts: Sequence[int]) -> Tensor:
    """The heads that stay when ``counts`` are left in the shares: bool [open heads].

    The best choice within the final budgets and limits stays in any case, so that they can be kept to; the
    others in the order of their importance [open heads]. Where there are no limits those are simply the best.
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

    A block in which all are zero stays so. A block's only head has 1, the most there is: removed step by step,
    heads of other blocks go before it.
    """
    return torch.cat([piece / (piece.norm() or 1.0) for piece in importance.split(list(sizes))])


def ranks(ranking: Ranking, logits: Tensor) -> Tensor:
    """Logits [H], float64, 0 to H - 1, whose top k, for every k, are the last k that this removal would have left.

    Heads that were not open at the start come first, in the order of the ``logits`` that they had.
    """
    closed = torch.ones(logits.shape, dtype=torch.bool).index_fill(0, ranking.order, False)
    before = torch.nonzero(closed).flatten()
    rising = before[torch.argsort(logits[before], descending=True, stable=True).flip(0)]
    order = torch.cat([rising, ranking.order])
    return torch.empty(logits.shape, dtype=torch.float64).index_copy(0, order, torch.arange(len(order)).double())
