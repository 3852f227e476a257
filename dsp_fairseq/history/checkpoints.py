"""The kept units in each checkpoint of a training."""

import os
from collections.abc import Iterable
from typing import Any, NamedTuple

from tqdm import tqdm

from dsp_fairseq_startup.errors import BadCheckpoint

from ..checkpoints.reading import KeptUnits, kept_units_of, load_gated
from ..config import SAME_PRUNING
from ..errors import BadInput, flag, refuse
from ..structures.inventory import Inventory

_SLOW = 3.0  # seconds after which progress is shown


class Snapshot(NamedTuple):
    """The units with which one checkpoint decodes."""

    path: str
    update: int
    inventory: Inventory
    mask: tuple[bool, ...]  # [H]

    @property
    def name(self) -> str:
        return os.path.basename(self.path)

    @property
    def per_kind(self) -> dict[str, int]:
        return self.inventory.kept_per_kind(self.mask)


def snapshots(paths: Iterable[str]) -> list[Snapshot]:
    """A snapshot for each update, in their order; fairseq saves some updates under several names.

    Raises BadInput with a line for every checkpoint that cannot be read or is of another model or training.
    """
    problems: list[str] = []
    found: dict[int, Snapshot] = {}
    first: tuple[str, KeptUnits] | None = None
    for path in tqdm(list(paths), desc="checkpoints", delay=_SLOW, leave=False, disable=None):
        try:
            state = load_gated(path)
            kept = kept_units_of(state)
            first = first or (path, kept)
            refuse(_differences(path, kept, *first))
            own = Snapshot(path, _update(path, state), kept.inventory, tuple(kept.mask.tolist()))
            other = found.setdefault(own.update, own)
            refuse(_contradictions(own, other))
        except (BadInput, BadCheckpoint) as problem:
            problems.append(str(problem))
    refuse(problems)
    return [found[update] for update in sorted(found)]


def changes(before: Snapshot, after: Snapshot) -> tuple[int, int]:
    """Numbers of units that were added to the kept set and removed from it."""
    pairs = list(zip(before.mask, after.mask, strict=True))
    return sum(new and not old for old, new in pairs), sum(old and not new for old, new in pairs)


def settled_from(history: list[Snapshot]) -> int | None:
    """The update of the first checkpoint from which on all keep the same units; None: the last two differ."""
    update = None
    for before, own in zip(history[-2::-1], history[:0:-1], strict=True):
        if before.mask != own.mask:
            break
        update = before.update
    return update


def _update(path: str, state: dict[str, Any]) -> int:
    try:
        return int(state["optimizer_history"][-1]["num_updates"])
    except (KeyError, IndexError, TypeError):
        raise BadInput(f"checkpoint {path}: does not say at which update it was saved; move it elsewhere") from None


def _differences(path: str, kept: KeptUnits, first_path: str, first: KeptUnits) -> Iterable[str]:
    """The first sign that two checkpoints belong to different trainings, if there is one."""
    remedy = "leave checkpoints of one training in the folder"
    shape, other_shape = kept.inventory.indices(), first.inventory.indices()
    if shape != other_shape:
        yield (
            f"checkpoint {path}: is of another model, {_in_words(kept.inventory)}, than {first_path} with "
            f"{_in_words(first.inventory)}; {remedy}"
        )
        return
    for option in SAME_PRUNING:
        own, other = (getattr(options, option, None) for options in (kept.options, first.options))
        if str(own) != str(other):
            yield f"checkpoint {path}: trained with {flag(option)} {own}, {first_path} with {other}; {remedy}"
            return


def _contradictions(own: Snapshot, other: Snapshot) -> Iterable[str]:
    if own.mask != other.mask:
        yield (
            f"checkpoint {own.path}: is of update {own.update} as {other.path}, but keeps other {own.inventory.noun}; "
            "leave checkpoints of one training in the folder"
        )


def _in_words(inventory: Inventory) -> str:
    return f"{inventory.units} {inventory.noun} in {len(inventory.blocks)} blocks"
