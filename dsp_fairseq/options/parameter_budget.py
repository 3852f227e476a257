"""The share of a budget in parameters: what --parameters-to-keep leaves for the blocks that compete for it."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ..errors import BadInput
from ..gates.choice import Share
from ..gates.priced_pool import PricedPool
from ..gates.priced_units import PricedUnits
from ..structures.inventory import Block, Inventory
from ..structures.structure import STRUCTURES

Bounds = Mapping[str, tuple[int, int | None]]  # least and most heads or hidden units of a block, by structure


def parse_parameters(value: Any, prunable: int) -> int:
    """Parameters of --parameters-to-keep: a number, or a share such as ``40%``, of the ``prunable`` ones, rounded down.

    Raises BadInput.
    """
    text = str(value)
    share = re.fullmatch(r"(\d{1,3}(?:\.\d{1,9})?)%", text)
    number = int(prunable * float(share[1]) / 100) if share else int(text) if re.fullmatch(r"\d{1,18}", text) else -1
    if not 0 <= number <= prunable:
        raise BadInput(
            f"--parameters-to-keep {text[:100]}: must be 0 to {prunable}, the prunable parameters of this model, or a "
            "share of them such as 40%"
        )
    return number


def prunable_parameters(inventory: Inventory, kinds: Collection[str]) -> int:
    """Parameters that go with all units of these kinds, as the architecture has them."""
    return sum(block.original_units * block.cost for block in inventory.blocks if block.kind in kinds)


def parameters_of_counted(shares: Sequence[Share], blocks: Sequence[Sequence[Block]], kinds: Collection[str]) -> int:
    """Prunable parameters that budgets in heads or hidden units keep, each share with its own blocks.

    Raises BadInput when they depend on which units are kept.
    """
    spent = 0
    for share, own in zip(shares, blocks, strict=True):
        free = [block for block in own if block.kind in kinds]
        kept = share.keep - sum(block.units for block in own if block.kind not in kinds)
        costs = {block.cost for block in free}
        if len(costs) > 1 and 0 < kept < sum(block.units for block in free):
            structure = own[0].structure
            raise BadInput(
                f"--{structure}-to-keep with --parameters-to-keep: {STRUCTURES[structure].noun} cost "
                f"{' or '.join(f'{cost // own[0].count:,}' for cost in sorted(costs))} parameters each, so what is "
                "left depends on which are kept; say a number for each kind of block, or leave one of the two out"
            )
        spent += (
            sum(block.units * block.cost for block in free) if len(costs) > 1 and kept else kept * max(costs, default=0)
        )
    return spent


def parameter_share(amount: int, competing: Sequence[Block], kinds: Collection[str], bounds: Bounds) -> Share:
    """The share of all blocks that compete for ``amount`` prunable parameters; raises BadInput."""
    least, most = [], []
    for block in competing:
        low, high = bounds.get(block.structure, (0, None))
        floor = block.units if block.kind not in kinds else min(block.units, -(-low // block.count))
        cap = block.units if high is None or block.kind not in kinds else min(block.units, high // block.count)
        least.append(floor)
        most.append(max(floor, cap))
    units = PricedUnits(
        tuple(block.units for block in competing), tuple(block.cost for block in competing), tuple(least), tuple(most)
    )
    fixed = sum(block.units * block.cost for block in competing if block.kind not in kinds)
    if amount + fixed < units.cost_of_least:
        raise BadInput(
            f"--parameters-to-keep: {amount:,} parameters are left for blocks that keep "
            f"{units.cost_of_least - fixed:,} in any case "
            "(--min-heads-per-block, --min-ffn-per-block); keep more, or ask for less"
        )
    return Share(min(amount + fixed, units.cost_of_most), PricedPool(units))
