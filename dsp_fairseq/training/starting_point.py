"""Checks whether a training that starts from a checkpoint can take over its choice of heads."""

from argparse import Namespace
from typing import Any

from ..checkpoints.reading import kept_heads_of
from ..gates.methods import METHODS, uniform_logits
from ..options.plan import Plan


def heads_not_taken_over(path: str, state: dict[str, Any], args: Namespace) -> list[str]:
    """One line when a new training with these options would not begin with the heads that its checkpoint keeps.

    Args:
        path: path of the checkpoint, for the message.
        state: the loaded checkpoint.
        args: options of the training, which begins at update 0.
    """
    method = args.pruning_method
    if "gates.logits" not in state["model"]:  # a checkpoint of a stock model
        return []
    kept = kept_heads_of(state)
    heads, masked = kept.inventory.units, kept.inventory.units - int(kept.mask.sum())
    if not masked or (method == "uniform" and _spread_evenly(args) == kept.mask.tolist()):
        return []
    does = "trains all of them again" if method == "none" else "chooses anew"
    return [
        f"{path}: {masked} of its {heads} heads are masked, but --pruning-method {method} {does}; to train on under "
        f"its choice: dsp-fairseq prune {path} SMALL.pt, then --finetune-from-model SMALL.pt --pruning-method none"
    ]


def unable_to_go_on(path: str, state: dict[str, Any], args: Namespace) -> list[str]:
    """One line when the checkpoint has no state of the optimiser, so that the search would begin again at update 0.

    Arguments as for :func:`heads_not_taken_over`.
    """
    if "last_optimizer_state" in state or "gates.logits" not in state["model"]:
        return []
    if METHODS[args.pruning_method].learns or heads_not_taken_over(path, state, args):
        return [
            f"{path}: has no state of the optimiser (as of --no-save-optimizer-state, average, importance), so the "
            "choice of heads cannot go on where it was; choose anew with --finetune-from-model, or train on under "
            f"its choice: dsp-fairseq prune {path} SMALL.pt, then --finetune-from-model SMALL.pt --pruning-method "
            "none"
        ]
    return []


def _spread_evenly(args: Namespace) -> list[bool]:
    plan = Plan.of(args)
    return plan.choice.mask(uniform_logits(plan.inventory, 1.0)).tolist()
