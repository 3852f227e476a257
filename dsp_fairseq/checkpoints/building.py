"""Builds the model of a loaded checkpoint, in evaluation mode, without a task and without dictionary files."""

from argparse import Namespace
from typing import Any

from fairseq.data import Dictionary

from ..families import known_family
from .schema import model_options


def build_model(state: dict[str, Any]) -> Any:
    """The gated model of a loaded checkpoint, in evaluation mode.

    Its dictionaries have the right sizes but placeholder words, so it computes logits but no readable text.
    """
    return _build(state, gated=True)


def build_stock_model(state: dict[str, Any]) -> Any:
    """The stock model of a loaded checkpoint of the stock model; otherwise as :func:`build_model`."""
    return _build(state, gated=False)


def task_of(state: dict[str, Any]) -> Namespace:
    """A stand-in for the task, with placeholder dictionaries, that is enough to build the model of a checkpoint."""
    return known_family(model_options(state)).task_of(state["model"], _Words)


def _build(state: dict[str, Any], gated: bool) -> Any:
    options = model_options(state)
    family = known_family(options)
    chosen = Namespace(**{**vars(family.without_files(options)), "overridden": None})
    model = family.model_class(gated).build_model(chosen, task_of(state)).eval()
    model.load_state_dict(state["model"], model_cfg=options)
    return model


class _Words(Dictionary):
    """A dictionary of placeholder words with one symbol for each row of an embedding."""

    def __init__(self, size: int):
        super().__init__()
        for word in range(size - len(self)):
            self.add_symbol(f"word{word}")
