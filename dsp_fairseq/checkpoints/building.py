"""From a loaded checkpoint to the model that it is of, in evaluation mode, without a task."""

from argparse import Namespace
from typing import Any

from fairseq.data import Dictionary

from ..families import known_family
from .schema import model_options


def build_model(state: dict[str, Any]) -> Any:
    """The gated model of a loaded checkpoint. Its dictionaries have the right size and no words."""
    return _build(state, gated=True)


def build_stock_model(state: dict[str, Any]) -> Any:
    """As :func:`build_model`, for a checkpoint of the stock model."""
    return _build(state, gated=False)


def _build(state: dict[str, Any], gated: bool) -> Any:
    weights, options = state["model"], model_options(state)
    family = known_family(options)
    chosen = Namespace(**{**vars(family.without_files(options)), "overridden": None})
    model = family.model_class(gated).build_model(chosen, family.task_of(weights, _Words)).eval()
    model.load_state_dict(weights, model_cfg=options)
    return model


class _Words(Dictionary):
    """As many symbols as an embedding has rows."""

    def __init__(self, size: int):
        super().__init__()
        for word in range(size - len(self)):
            self.add_symbol(f"word{word}")
