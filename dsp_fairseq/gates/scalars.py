"""What the logs of a training say about its choice of heads: a few numbers, cheap at every update."""

from typing import TYPE_CHECKING

import numpy as np

from ..families.transformer import KINDS
from .inclusion import entropy

if TYPE_CHECKING:
    from .head_gates import HeadGates

KEPT = {kind: f"kept_{kind.replace('.', '_')}" for kind in KINDS}  # by kind: heads that would decode now
ENTROPY, MEAN, SPREAD = "subset_entropy", "logits_mean", "logits_std"
SCALARS = (*KEPT.values(), ENTROPY, MEAN, SPREAD)


def scalars(gates: "HeadGates") -> dict[str, float]:
    """By name, of the update that is about to begin; about logits only where they learn.

    ``kept_*``: heads of each kind in the mask that would decode; ``subset_entropy``: bits, see
    :func:`~dsp_fairseq.gates.inclusion.entropy`; ``logits_mean`` and ``logits_std``: over all heads.
    """
    kept = gates.inventory.kept_per_kind(gates.mask().tolist())
    told = {KEPT[kind]: float(count) for kind, count in kept.items()}
    if gates.method.learns:
        logits = gates.logits.detach().numpy()
        told.update({ENTROPY: _entropy(gates), MEAN: _rounded(np.mean(logits)), SPREAD: _rounded(np.std(logits))})
    return told


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
