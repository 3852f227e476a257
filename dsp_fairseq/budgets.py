"""What the options say about numbers of heads: how many there are, how many of which blocks are kept."""

import re
from argparse import Namespace
from collections.abc import Sequence
from typing import Any

from .errors import BadInput, refuse
from .gates.choice import Choice, Share
from .gates.limits import Limits
from .gates.methods import METHODS
from .structures.inventory import Block, Inventory

_NUMBER = r"-?\d{1,18}"  # of so many digits that Python turns it into a number whatever it limits


def choice_of(args: Namespace, inventory: Inventory, heads_to_keep: Any = None) -> Choice:
    """How many heads of which blocks these options keep; ``heads_to_keep`` instead of what they say.

    Raises BadInput when that cannot be.
    """
    value = getattr(args, "heads_to_keep", None) if heads_to_keep is None else heads_to_keep
    if value is None and keep_range_of(args, inventory) is not None:
        value = keep_range_of(args, inventory)[1]
    heads = inventory.kept_per_kind([True] * inventory.units)
    budget = parse_heads_to_keep(value, heads)
    if isinstance(budget, int):
        shares = [Share(budget, _limits(args, inventory.blocks, inventory.kinds))]
    else:
        of_kind = {kind: [b for b in inventory.blocks if b.kind == kind] for kind in inventory.kinds}
        shares = [Share(budget[kind], _limits(args, of_kind[kind], inventory.kinds)) for kind in inventory.kinds]
    refuse(problem for share in shares for problem in share.limits.problems(share.keep))
    if len(shares) > 1:  # a kind that keeps all its heads has no choice to make
        shares = [share.fixed() if share.keep == share.heads else share for share in shares]
    method = METHODS.get(getattr(args, "pruning_method", None))
    free = value is None and method is not None and method.independent
    return Choice(tuple(shares), free_count=free)


def _limits(args: Namespace, blocks: Sequence[Block], known: Sequence[str]) -> Limits:
    kinds = prunable_kinds(args, known)
    return Limits(
        tuple(block.units for block in blocks),
        getattr(args, "max_heads_per_block", None),
        getattr(args, "min_heads_per_block", None) or 0,
        tuple(block.kind not in kinds for block in blocks),
    )


def prunable_kinds(args: Namespace, known: Sequence[str]) -> list[str]:
    """The ``known`` kinds of block that may lose heads; raises BadInput on another name."""
    said = getattr(args, "prunable", None)
    if said is None:
        return list(known)
    kinds = said.split(",")
    if not set(kinds) <= set(known):
        raise BadInput(f"--prunable {said}: must be one or more of {', '.join(known)}, with commas and no spaces")
    return kinds


def keep_range_of(args: Namespace, inventory: Inventory) -> tuple[int, int] | None:
    """(lowest, highest) K of --heads-to-keep-range, None when it is not given; raises BadInput."""
    said = getattr(args, "heads_to_keep_range", None)
    if said is None:
        return None
    parts = re.fullmatch(r"(\d{1,9}):(\d{1,9})", said)
    low, high = map(int, parts.groups()) if parts else (1, 0)
    if not low <= high <= inventory.units:
        raise BadInput(
            f"--heads-to-keep-range {said[:100]}: must be LO:HI with LO not above HI and HI at most "
            f"{inventory.units}, the heads of this model"
        )
    limits = _limits(args, inventory.blocks, inventory.kinds)
    refuse([*limits.problems(low), *limits.problems(high)])
    return low, high


def parse_heads_to_keep(value: Any, heads: dict[str, int]) -> int | dict[str, int]:
    """K, or K of each kind, from what --heads-to-keep says; ``heads`` is what there is of each kind.

    None means all. Raises BadInput.
    """
    if value is None:
        return sum(heads.values())
    text, everything = str(value), sum(heads.values())
    if re.fullmatch(_NUMBER, text):
        refuse(
            [f"--heads-to-keep {text}: must be 0 to {everything}, the heads of this model"]
            if not 0 <= int(text) <= everything
            else []
        )
        return int(text)
    pairs = [part.partition("=")[::2] for part in text.split(",")]
    if sorted(kind for kind, _ in pairs) != sorted(heads) or not all(re.fullmatch(_NUMBER, n) for _, n in pairs):
        example = ",".join(f"{kind}={count}" for kind, count in heads.items())
        raise BadInput(
            f"--heads-to-keep {text[:100]}: must be a number, 0 to {everything}, or one for each kind of block, "
            f"such as {example} (all heads of this model)"
        )
    budget = {kind: int(number) for kind, number in pairs}
    refuse(
        f"--heads-to-keep {kind}={count}: must be 0 to {heads[kind]}, the heads of that kind"
        for kind, count in budget.items()
        if not 0 <= count <= heads[kind]
    )
    return budget
