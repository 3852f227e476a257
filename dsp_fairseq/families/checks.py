"""Checks of options that several families share."""

from argparse import Namespace
from collections.abc import Mapping, Sequence

from torch import Tensor

from ..errors import flag


def group_problems(options: Namespace, group: int | None, widths: Sequence[str]) -> list[str]:
    """Feed-forward blocks that do not consist of whole groups of hidden units, or whose units cannot be removed.

    Args:
        group: hidden units that are removed together; None: no option is about them.
        widths: the names of the options that say how many hidden units a block has.
    """
    if group is None:
        return []
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
            "--parameters-to-keep and --ffn-group do not go with it; leave it out"
        )
    return problems


def width_problems(options: Namespace, weights: Mapping[str, Tensor]) -> list[str]:
    """One line per width that no weight of a checkpoint reaches, so that a damaged one does not ask for much memory."""
    largest = max((size for tensor in weights.values() for size in tensor.shape), default=0)
    return [
        f"{flag(name)} {value}: no weight in it is so large"
        for name, value in sorted(vars(options).items())
        if name.endswith(("_embed_dim", "put_dim")) and isinstance(value, int) and value > largest
    ]
