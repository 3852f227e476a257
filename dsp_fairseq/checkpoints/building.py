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


def task_of(state: dict[str, Any]) -> Namespace:
    """All that the model of a loaded checkpoint asks of its task; its dictionaries are as those of the built models."""
    return known_family(model_options(state)).task_of(state["model"], _Words)


def _build(state: dict[str, Any], gated: bool) -> Any:
    options = model_options(state)
    family = known_family(options)
    chosen = Namespace(**{**vars(family.without_files(options)), "overridden": None})
    model = family.model_class(gated).build_model(chosen, task_of(state)).eval()
    model.load_state_dict(state["model"], model_cfg=options)
    return model


class _Words(Dictionary):
    """As many symbols as an embedding has rows."""

    def __init__(self, size: int):
        super().__init__()
        for word in range(size - len(self)):
            self.add_symbol(f"word{word}")
