"""What the logs of a training say about its choice of heads: a few numbers, cheap at every update."""

from typing import TYPE_CHECKING

import numpy as np

from .inclusion import entropy

if TYPE_CHECKING:
    from .head_gates import HeadGates

KEPT = "kept_"  # begins the names of the numbers of heads, by kind, that would decode now
ENTROPY, MEAN, SPREAD = CHOICE = ("subset_entropy", "logits_mean", "logits_std")


def kept_name(kind: str) -> str:
    """The name in the logs for the kept heads of a kind.

    >>> kept_name("stack.self")
    'kept_stack_self'
    """
    return KEPT + kind.replace(".", "_")


def scalars(gates: "HeadGates") -> dict[str, float]:
    """By name, of the update that is about to begin; about logits only where they learn.

    ``kept_*``: heads of each kind in the mask that would decode; ``subset_entropy``: bits, see
    :func:`~dsp_fairseq.gates.inclusion.entropy`; ``logits_mean`` and ``logits_std``: over all heads.
    """
    kept = gates.inventory.kept_per_kind(gates.mask().tolist())
    found = {kept_name(kind): float(count) for kind, count in kept.items()}
    if gates.method.learns:
        logits = gates.logits.detach().numpy()
        found.update({ENTROPY: _entropy(gates), MEAN: _rounded(np.mean(logits)), SPREAD: _rounded(np.std(logits))})
    return found


def _rounded(number: np.floating) -> float:
    """Sampling moves logits against each other: their mean stays 0 up to 1e-16, which nobody wants to read."""
    return round(float(number), 9) + 0.0


def _entropy(gates: "HeadGates") -> float:
    """Of the choice of the K heads that decode, also while more are open in training."""
    if gates.settled:
        return 0.0
    pieces = zip(gates.methods, gates.choice.shares, gates.choice.cut(gates.logits.detach()), strict=True)
    chances = [method.inclusion(logits, gates.update, share.limits) for method, share, logits in pieces]
    return entropy(np.concatenate(chances))
