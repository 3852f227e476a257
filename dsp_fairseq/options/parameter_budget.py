"""The share of a budget in parameters: what --parameters-to-keep leaves for the blocks that compete for it."""

import re
from collections.abc import Collection, Iterable, Sequence
from fractions import Fraction
from itertools import chain
from typing import Any

from ..errors import BadInput
from ..gates.choice import Share
from ..gates.limits import Limits
from ..gates.priced_pool import PricedPool
from ..gates.priced_units import PricedUnits
from ..structures.inventory import Block, Inventory
from ..structures.structure import STRUCTURES


def parse_parameters(value: Any, prunable: int) -> int:
    """Parameters of --parameters-to-keep: a number, or a share such as ``40%``, of the ``prunable`` ones, rounded down.

    Raises BadInput.
    """
    text = str(value)
    share = re.fullmatch(r"(\d{1,3}(?:\.\d{1,9})?)%", text)
    number = int(prunable * Fraction(share[1]) / 100) if share else int(text) if re.fullmatch(r"\d{1,18}", text) else -1
    if not 0 <= number <= prunable:
        raise BadInput(
            f"--parameters-to-keep {text[:100]}: must be 0 to {prunable}, the prunable parameters of this model, or a "
            "share of them such as 40%"
        )
    return number


def prunable_parameters(inventory: Inventory, kinds: Collection[str]) -> int:
    """Parameters that go with all units of these kinds, as the architecture has them."""
    return sum(block.original_units * block.cost for block in inventory.blocks if block.kind in kinds)


def parameters_of_counted(counted: Iterable[tuple[Share, Sequence[Block]]], kinds: Collection[str]) -> int:
    """Prunable parameters that budgets in heads or hidden units keep; each share comes with its blocks.

    Raises BadInput when they depend on which units are kept.
    """
    spent = 0
    for share, blocks in counted:
        free = [block for block in blocks if block.kind in kinds]
        there = sum(block.units for block in free)
        kept = share.keep - sum(block.units for block in blocks) + there
        costs = sorted({block.cost for block in free})
        if kept == there:
            spent += sum(block.units * block.cost for block in free)
        elif len(costs) > 1 and kept:
            structure, count = blocks[0].structure, blocks[0].count
            raise BadInput(
                f"--{structure}-to-keep with --parameters-to-keep: {STRUCTURES[structure].noun} cost "
                f"{' or '.join(f'{cost // count:,}' for cost in costs)} parameters each, so what is left depends on "
                "which are kept; say a number for each kind of block, or leave one of the two out"
            )
        else:
            spent += kept * costs[0]
    return spent


def parameter_share(
    amount: int,
    competing: Sequence[Block],
    limits: Iterable[Limits],
    kinds: Collection[str],
    closed: Sequence[bool],
) -> Share:
    """The share of all blocks that compete for ``amount`` prunable parameters; raises BadInput.

    Args:
        limits: those of the structures of the blocks, in flat order.
        closed: for each block whether its layer is removed; where it is not known which layers are, those that make
            the budget hardest to meet.
    """
    bounds = [limit.bounds(0) for limit in limits]
    least, most = (tuple(chain.from_iterable(side)) for side in zip(*bounds, strict=True))
    sizes, costs = zip(*((block.units, block.cost) for block in competing), strict=True)
    units = PricedUnits(sizes, costs, least, most)
    fixed = sum(block.units * block.cost for block in competing if block.kind not in kinds)
    pool = PricedPool(units, tuple(block.kind not in kinds for block in competing))
    least_left, left = pool.without(closed, amount + fixed)
    if left < least_left.units.cost_of_floors:
        fixed = sum(
            block.units * block.cost
            for block, shut in zip(competing, closed, strict=True)
            if block.kind not in kinds and not shut
        )
        raise BadInput(
            f"--parameters-to-keep: {amount:,} parameters are left for blocks that keep "
            f"{least_left.units.cost_of_floors - fixed:,} in any case "
            "(--min-heads-per-block, --min-ffn-per-block); keep more, or ask for less"
        )
    return Share(min(amount + fixed, units.cost_of_caps), pool)
