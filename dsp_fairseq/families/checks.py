"""Checks of options that several families share."""

from argparse import Namespace
from collections.abc import Mapping, Sequence

from torch import Tensor

from ..errors import flag

_WIDEST = 16  # times the largest size of a weight that is left, which is the width of the model at least


def group_problems(options: Namespace, group: int | None, widths: Sequence[str]) -> list[str]:
    """Feed-forward blocks that do not consist of whole groups of hidden units, or whose units cannot be removed.

    Args:
        group: hidden units that are removed together; None: no option is about them.
        widths: the names of the options that say how many hidden units a block has.
    """
    if group is None:
        return []
    if group < 1:
        return [f"--ffn-group {group}: must be 1 or more, the hidden units that are removed together"]
    problems = []
    for name in widths:
        hidden = getattr(options, name)
        if hidden % group:
            fitting = [size for size in (8, 16, 32, 64, 128, 256, 512) if hidden % size == 0] or [1]
            problems.append(
                f"--ffn-group {group}: must divide {flag(name)} {hidden}; say one that does, such as "
                f"{' or '.join(map(str, fitting[-2:]))}"
            )
    if getattr(options, "scale_fc", False):
        problems.append(
            "--scale-fc: its norm over all hidden units changes when some are removed, so --ffn-to-keep, "
            "--parameters-to-keep, --ffn-group and --pruning-method movement do not go with it; leave it out"
        )
    return problems


def width_problems(options: Namespace, weights: Mapping[str, Tensor]) -> list[str]:
    """One line per width that no weight of a checkpoint reaches, so that a damaged one does not ask for much memory.

    Where hidden units were removed, no weight needs to be as wide as the blocks were.
    """
    largest = max((size for tensor in weights.values() for size in tensor.shape), default=0)
    kept = getattr(options, "kept_heads", None)
    without_units = isinstance(kept, Mapping) and any(".ffn." in str(name) for name in kept)
    limits = {name: largest for name in vars(options) if name.endswith(("_embed_dim", "put_dim"))}
    if without_units:
        limits.update({name: _WIDEST * largest for name in limits if name.endswith("ffn_embed_dim")})
    return [
        f"{flag(name)} {value}: no weight in it is so large"
        for name, limit in sorted(limits.items())
        if isinstance(value := getattr(options, name), int) and value > limit
    ]
