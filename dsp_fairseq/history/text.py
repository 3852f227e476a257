"""The history of a training as tables and as JSON."""

import json
from typing import NamedTuple

from ..errors import BadInput, refuse
from ..removal import left_in_words
from ..tables import table
from .checkpoints import Snapshot, changes, settled_from, snapshots
from .events import Curve, curves
from .folder import look

MOST_ROWS = 12  # of the table of scalars; all values are in the JSON


class History(NamedTuple):
    """The checkpoints and logged curves of one training; at least one of both is there."""

    folder: str
    snapshots: list[Snapshot]
    curves: dict[str, Curve]  # by tag


def history_of(folder: str) -> History:
    """Raises BadInput when the folder holds nothing of a training, or what it holds cannot be read."""
    found, problems = look(folder), []
    own, logged = [], {}
    try:
        own = snapshots(found.checkpoints)
    except BadInput as problem:
        problems.append(str(problem))
    try:
        logged = curves(found.events) if found.events else {}
    except BadInput as problem:
        problems.append(str(problem))
    refuse(problems)
    return History(folder, own, logged)


def as_text(history: History) -> str:
    """A table with a row per checkpoint, and one with a row for some of the logged updates."""
    sections = []
    if history.snapshots:
        noun = history.snapshots[0].inventory.noun
        sections.append(f"{noun.capitalize()} kept in each checkpoint:\n{_checkpoint_table(history.snapshots)}")
        sections.append(verdict(history.snapshots))
    if history.curves:
        sections.append(f"Logged in training:\n{_scalar_table(history.curves)}")
    return "\n\n".join(sections)


def as_json(history: History) -> str:
    """One JSON object; the meaning of the scalars is in docs/watching.md."""
    return json.dumps(
        {
            "folder": history.folder,
            "checkpoints": [
                {
                    "file": own.name,
                    "update": own.update,
                    "kept": own.per_kind,
                    "came": came,
                    "went": went,
                    **dict.fromkeys(("kept_units", "heads"), own.inventory.keeping(own.mask).indices()),
                }
                for own, came, went in _with_changes(history.snapshots)
            ],
            "settled_from": settled_from(history.snapshots),
            "scalars": {tag: curve._asdict() for tag, curve in history.curves.items()},
        }
    )


def verdict(history: list[Snapshot]) -> str:
    """Whether the kept set has settled, in one line."""
    last = history[-1]
    kept = left_in_words(last.inventory.keeping(last.mask))
    if len(history) == 1:
        return f"{kept} kept at update {last.update}, the only checkpoint"
    update = settled_from(history)
    if update is None:
        return f"{kept} kept; they still changed up to the last checkpoint, update {last.update}"
    return f"the same {kept} kept from update {update} on"


def _with_changes(history: list[Snapshot]):
    """(checkpoint, units that came in, units that went out since the one before); None for the first."""
    for before, own in zip([None, *history][: len(history)], history, strict=True):
        yield (own, None, None) if before is None else (own, *changes(before, own))


def _checkpoint_table(history: list[Snapshot]) -> str:
    rows, kinds = [], history[0].inventory.kinds
    for own, came, went in _with_changes(history):
        change = "" if came is None else "-" if came == went == 0 else f"{came} in, {went} out"
        counts = [str(own.per_kind[kind]) for kind in kinds]
        totals = [str(own.inventory.keeping(own.mask).count_of(name)) for name in own.inventory.structures]
        rows.append([own.name, str(own.update), *totals, *counts, change])
    header = ["checkpoint", "update", *history[0].inventory.nouns, *kinds, "changed"]
    return table(header, rows, ("left", *["right"] * (len(header) - 2), "left"))


def _scalar_table(own: dict[str, Curve]) -> str:
    """At most ``MOST_ROWS`` of the logged updates, evenly spread from the first to the last."""
    values = {tag: dict(zip(*curve, strict=True)) for tag, curve in own.items()}
    updates = sorted(set().union(*values.values()))
    rows = [
        [str(update), *(_number(values[tag].get(update)) for tag in own)]
        for update in (updates[place] for place in _spread(len(updates), MOST_ROWS))
    ]
    return table(["update", *own], rows, ("right",) * (len(own) + 1))


def _spread(count: int, most: int) -> list[int]:
    """At most ``most`` of the numbers 0 to count - 1, evenly spread, the first and the last among them."""
    if count <= most:
        return list(range(count))
    return [round(i * (count - 1) / (most - 1)) for i in range(most)]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
