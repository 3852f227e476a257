"""Every checkpoint that fairseq reads goes through `safe_load`; a file it cannot read is a `BadCheckpoint`."""

import re

from . import safe_load
from .bad_checkpoint import BadCheckpoint

ANOTHER_FILE = "give a checkpoint that fairseq-train wrote"


def mend(checkpoint_utils):
    checkpoint_utils.torch = safe_load.TorchWithLoad(checkpoint_utils.torch, load_checkpoint)


def load_checkpoint(file, map_location=None, **options):
    """Read a checkpoint, an open file or a path; raise `BadCheckpoint` if it is damaged, foreign, or not fairseq's."""
    name = getattr(file, "name", file)
    try:
        state = safe_load.load(file, map_location=map_location, **options)
    except MemoryError:
        raise
    except Exception as error:  # a damaged file makes torch raise nearly anything
        raise BadCheckpoint(f"checkpoint {name}: {_what_is_wrong(error)}") from error
    missing = _missing_part(state)
    if missing:
        raise BadCheckpoint(f"checkpoint {name}: has no {missing} in it; {ANOTHER_FILE}")
    return state


def _missing_part(state):
    if not isinstance(state, dict) or "model" not in state:
        return "model"
    if "optimizer_history" not in state and "best_loss" not in state:  # the second: before 2018
        return "optimizer_history"
    return None


def _what_is_wrong(error):
    foreign = re.search(r"GLOBAL ([\w.]+)", str(error))
    if foreign:
        return (
            f"refused, because it asks to load {foreign.group(1)}, which is no part of a fairseq checkpoint"
            f" and could run any code (nothing was run); {ANOTHER_FILE}"
        )
    return f"damaged, or not a checkpoint at all; copy it again, or {ANOTHER_FILE}"
