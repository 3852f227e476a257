"""Checkpoints of ``movement``, whose weights are masked by their scores."""

from collections.abc import Mapping
from typing import Any

from fairseq.utils import get_activation_fn
from torch import Tensor

from ..errors import flag
from ..families import is_gated
from ..gates.weights.gates import mask_of
from ..gates.weights.layout import Layout
from ..options.plan import Plan
from ..structures.constant_units import fold_constant_units
from .schema import model_options

SCORES, LEVEL = "gates.scores", "gates.level"


def has_scores(state: dict[str, Any]) -> bool:
    """Whether the blocks of weights of a loaded checkpoint have scores."""
    return SCORES in state["model"] and is_gated(model_options(state))


def masked_weights(state: dict[str, Any]) -> dict[str, Any]:
    """A loaded checkpoint with zeros for the weights and biases that its masks close; others are returned unchanged."""
    if not has_scores(state):
        return state
    weights, plan = state["model"], Plan.of(model_options(state))
    layout = Layout.of(plan.inventory, plan.settings.blocking)
    mask = mask_of(weights[SCORES].detach().float(), float(weights[LEVEL]), layout, plan.settings)
    return {**state, "model": layout.zeros_in_place(weights, mask)}


def units_left(state: dict[str, Any], plan: Plan) -> Tensor:
    """The units, bool [H], that the masks of a checkpoint with scores leave; ``plan`` is that of its options."""
    scores, level = state["model"][SCORES].detach().float(), float(state["model"][LEVEL])
    layout = Layout.of(plan.inventory, plan.settings.blocking)
    return layout.units_left(mask_of(scores, level, layout, plan.settings))


def folded(state: dict[str, Any], mask: Tensor) -> tuple[dict[str, Any], Tensor]:
    """A checkpoint in which biases take over what constant units add, and the units of ``mask`` that are not constant.

    A unit is constant if it adds the same to the output of its block for every input, as one does whose weights are
    closed. ``state`` has zeros for its closed weights already, as ``load`` returns it. Both masks are bool [H].
    """
    options = model_options(state)
    activation = get_activation_fn(getattr(options, "activation_fn", None) or "relu")
    weights, varying = fold_constant_units(state["model"], Plan.of(options).inventory, activation)
    return {**state, "model": weights}, varying & mask


def fill_problems(path: str, state: dict[str, Any], dense: bool, budgets: Mapping[str, Any], fill: bool) -> list[str]:
    """Why zeros of a checkpoint cannot be filled, and which budgets it cannot be pruned to, one line each."""
    scored, problems = has_scores(state), []
    if scored:
        problems = [
            f"{flag(name)} {value}: {path} was pruned by movement, which ranks no units; leave it out"
            for name, value in budgets.items()
            if value is not None
        ]
    if fill and dense:
        problems.append("--fill: --dense puts zeros where units were removed; leave out one of both")
    if fill and not scored:
        problems.append(f"--fill: {path} has no masked weights, whose zeros it fills; leave it out")
    return problems
