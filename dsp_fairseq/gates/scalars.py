"""The numbers about the choice of units that the logs of a training have at every update."""

from typing import TYPE_CHECKING

import numpy as np

from .inclusion import entropy

if TYPE_CHECKING:
    from .gates import Gates

KEPT = "kept_"  # prefix of the names of the numbers of kept units by kind
ENTROPY, MEAN, SPREAD = CHOICE = ("subset_entropy", "logits_mean", "logits_std")


def kept_name(kind: str) -> str:
    """The name in the logs of the number of kept units of a kind.

    >>> kept_name("stack.self")
    'kept_stack_self'
    """
    return KEPT + kind.replace(".", "_")


def scalars(gates: "Gates") -> dict[str, float]:
    """The numbers of the update that is about to begin, by their names in the logs.

    ``kept_*`` are the numbers of units of each kind in the mask that would decode now. Methods whose logits learn have
    three more: ``subset_entropy`` in bits (see :func:`~dsp_fairseq.gates.inclusion.entropy`), and ``logits_mean`` and
    ``logits_std``, the mean and standard deviation of all logits. ``movement`` has those of its masks.
    """
    kept = gates.inventory.kept_per_kind(gates.mask().tolist())
    found = {kept_name(kind): float(count) for kind, count in kept.items()} | gates.further_scalars()
    if gates.method.learns:
        logits = gates.logits.detach().numpy()
        found.update({ENTROPY: _entropy(gates), MEAN: _rounded(np.mean(logits)), SPREAD: _rounded(np.std(logits))})
    return found


def _rounded(number: np.floating) -> float:
    """The number to 9 decimals: the mean of sampled logits stays 0, and its rounding errors only clutter the logs."""
    return round(float(number), 9) + 0.0


def _entropy(gates: "Gates") -> float:
    """Entropy in bits of the choice of the K units that decode, even while training has more units open."""
    if gates.settled:
        return 0.0
    inside = gates.narrowed(gates.methods, gates.mask())
    pieces = zip(*inside, gates.choice.cut(gates.logits.detach()), strict=True)
    chances = [method.inclusion(logits, gates.update, share.pool) for method, share, logits in pieces]
    return entropy(np.concatenate(chances))
