"""Whether a training that starts from a checkpoint takes over the checkpoint's choice of units."""

from typing import Any

from ..checkpoints.movement import has_scores
from ..checkpoints.reading import kept_units_of
from ..gates.methods import Uniform, Unpruned, uniform_logits
from ..options.plan import Plan


def units_not_taken_over(path: str, state: dict[str, Any], plan: Plan) -> list[str]:
    """One line when a training of this plan gives up the choice of units in its checkpoint ``path``."""
    if "gates.logits" not in state["model"]:  # the checkpoint of a stock model
        return []
    kept = kept_units_of(state)
    units, masked = kept.inventory.units, kept.inventory.units - int(kept.mask.sum())
    if has_scores(state):
        return [
            f"{path}: blocks of its weights are masked, but this training opens all of them again; to train on without "
            f"them: dsp-fairseq prune {path} SMALL.pt, then --finetune-from-model SMALL.pt --pruning-method none"
        ]
    if not masked or (plan.method is Uniform and _spread_evenly(plan) == kept.mask.tolist()):
        return []
    name = plan.options["pruning_method"]
    all_again = plan.method is Unpruned or plan.method.scores_weights
    does = "trains all of them again" if all_again else "chooses anew"
    return [
        f"{path}: {masked} of its {units} {kept.inventory.noun} are masked, but --pruning-method {name} {does}; to "
        f"train on under its choice: dsp-fairseq prune {path} SMALL.pt, then --finetune-from-model SMALL.pt "
        "--pruning-method none"
    ]


def unable_to_go_on(path: str, state: dict[str, Any], plan: Plan) -> list[str]:
    """One line when the training would start again at update 0, and its choice of units would start again too."""
    if "last_optimizer_state" in state or "gates.logits" not in state["model"]:
        return []
    if plan.method.learns or plan.method.scores_weights or units_not_taken_over(path, state, plan):
        return [
            f"{path}: has no state of the optimiser (as of --no-save-optimizer-state, average, importance), so the "
            f"choice of {plan.inventory.noun} cannot go on where it was; choose anew with --finetune-from-model, or "
            f"train on under its choice: dsp-fairseq prune {path} SMALL.pt, then --finetune-from-model SMALL.pt "
            "--pruning-method none"
        ]
    return []


def _spread_evenly(plan: Plan) -> list[bool]:
    return plan.choice.mask(uniform_logits(plan.inventory, 1.0)).tolist()
