"""Reads the scalars of the criterion from TensorBoard's event files."""

import importlib.util
import logging
from typing import NamedTuple

from ..errors import BadInput
from ..families import families, known_ffn_kinds, known_kinds, known_layer_kinds
from ..gates.scalars import CHOICE, kept_name

HEADS, FFN, LAYERS, TEMPERATURE = "heads_kept", "ffn_kept", "layers_kept", "temperature"
KEPT = {kind: kept_name(kind) for kind in known_kinds()}
OF_FFN = {kind: KEPT[kind] for kind in known_ffn_kinds()}
OF_LAYERS = {kind: KEPT[kind] for kind in known_layer_kinds()}
TAGS = (HEADS, FFN, LAYERS, *KEPT.values(), TEMPERATURE, *CHOICE)
EVERYTHING = 0  # for TensorBoard this means no limit to the number of values


class Curve(NamedTuple):
    """One scalar over the training."""

    updates: list[int]
    values: list[float]


def curves(folder: str) -> dict[str, Curve]:
    """The curves of those ``TAGS`` that are in the event files of a folder, by tag.

    An incomplete record at the end of a file, which a killed training leaves, is skipped as TensorBoard does.
    Raises BadInput when there are none, or tensorboard is not installed.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise BadInput(
            f"--history {folder}: reading event files needs tensorboard, which is not installed; "
            "pip install tensorboard"
        )
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logging.getLogger("tensorboard").setLevel(logging.ERROR)
    events = EventAccumulator(folder, size_guidance={"scalars": EVERYTHING}).Reload()
    there = events.Tags()["scalars"]
    if not there:
        raise BadInput(f"--history {folder}: no scalar can be read from its event files; they are empty or damaged")
    if not set(TAGS) & set(there):
        criterions = dict.fromkeys(name for family in families() for name in family.training_criterions)
        raise BadInput(
            f"--history {folder}: its event files say nothing about pruning ({', '.join(sorted(there)[:4])}, ...); "
            f"train with --criterion {' or '.join(criterions)}"
        )
    return {tag: _curve(events.Scalars(tag)) for tag in TAGS if tag in there}


def _curve(scalars) -> Curve:
    """Sorted by update; where a restart logged an update again, the later value counts."""
    values = {scalar.step: scalar.value for scalar in scalars}
    return Curve(sorted(values), [values[update] for update in sorted(values)])
