"""Checkpoints of ``movement``, whose weights are masked by their scores."""

from typing import Any

from ..families import is_gated
from ..gates.weights.gates import mask_of
from ..gates.weights.layout import Layout
from ..options.plan import Plan
from .schema import model_options

SCORES, LEVEL = "gates.scores", "gates.level"


def has_scores(state: dict[str, Any]) -> bool:
    """Whether the blocks of weights of a loaded checkpoint have scores."""
    return SCORES in state["model"] and is_gated(model_options(state))


def layout_of(state: dict[str, Any]) -> Layout:
    """The scores of a checkpoint that has any."""
    plan = Plan.of(model_options(state))
    return Layout.of(plan.inventory, plan.settings.blocking)


def masked_weights(state: dict[str, Any]) -> dict[str, Any]:
    """A loaded checkpoint with zeros for the weights and biases that its masks close; others are returned unchanged."""
    if not has_scores(state):
        return state
    weights, plan, layout = state["model"], Plan.of(model_options(state)), layout_of(state)
    mask = mask_of(weights[SCORES].detach().float(), float(weights[LEVEL]), layout, plan.settings)
    return {**state, "model": layout.zeros_in_place(weights, mask)}
