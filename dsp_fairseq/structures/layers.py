"""Whole layers: a unit is a layer of a stack, with everything in it, and a closed layer passes its input on.

The block is the whole stack. A layer owns no slice of a parameter but all weights below its module, and it holds the
units of other blocks, such as its heads (see ``nesting.py``).
"""

import re
from typing import Any

from . import ffn, heads  # noqa: F401 (registered first: checkpoints list the structures in the order of registration)
from .structure import register_structure

LAYERS = register_structure("layers", [], "layers", carrier="layer_gates", nests=True)


def layer_prefix(module: str, layer: int) -> str:
    """What the names of the weights of a layer begin with; ``module`` is that of its stack.

    >>> layer_prefix("stack", 3)
    'stack.layers.3.'
    """
    return f"{module}.layers.{layer}."


def numbers_in(value: Any) -> dict[str, int]:
    """The numbers in a value such as ``stack=4,other=2``, as far as it has that form; an empty dict otherwise."""
    pairs = [part.partition("=")[::2] for part in str(value).split(",")]
    if len(dict(pairs)) != len(pairs) or not all(re.fullmatch(r"\d{1,9}", number, re.ASCII) for _, number in pairs):
        return {}
    return {name: int(number) for name, number in pairs}


def even_order(layers: int, keep: int) -> tuple[int, ...]:
    """All layers of a stack in the order in which a uniform choice takes them: the first ``keep`` are evenly spread.

    The distances between neighbours differ by at most 1, and so do the numbers of layers left out before the first and
    after the last. Among the first ``keep`` the first half comes first, spread in the same way, and so on.

    >>> even_order(6, 3)
    (3, 1, 5, 0, 2, 4)
    """
    if not 0 < keep <= layers:
        return tuple(range(layers))
    chosen = [(2 * place + 1) * layers // (2 * keep) for place in range(keep)]
    within = even_order(keep, keep // 2) if keep > 1 else (0,)
    return (*(chosen[place] for place in within), *(layer for layer in range(layers) if layer not in chosen))
