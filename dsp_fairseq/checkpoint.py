"""Reading checkpoints: untrusted input, loaded with an allow-list."""

import argparse
import pickle
from argparse import Namespace
from typing import Any, Dict, List, NamedTuple

import torch
from torch import Tensor

from .errors import BadInput
from .gates import hard_top_k
from .inventory import Inventory


def load(path: str) -> Dict[str, Any]:
    """The content of a checkpoint, on the CPU and not read before it is used.

    Raises BadInput when the file is missing, damaged, or carries anything but tensors and options.
    """
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except FileNotFoundError:
        raise BadInput(f"checkpoint {path}: does not exist") from None
    except (RuntimeError, EOFError, ValueError, OSError) as error:
        raise BadInput(
            f"checkpoint {path}: damaged or not a checkpoint ({_first_line(error)}); "
            "take an earlier checkpoint"
        ) from None
    except pickle.UnpicklingError as error:
        raise BadInput(
            f"checkpoint {path}: refused, it carries objects that a checkpoint does not need "
            f"({_first_line(error)})"
        ) from None
    if not isinstance(state, dict) or "model" not in state:
        raise BadInput(f"checkpoint {path}: not a checkpoint of fairseq (it has no model in it)")
    return state


def load_model_options(path: str) -> Namespace:
    """The model's options stored in a checkpoint."""
    return _model_options(load(path))


class KeptHeads(NamedTuple):
    """Which heads of a checkpoint decode."""

    inventory: Inventory
    mask: Tensor  # bool [H]
    logits: Tensor  # float64 [H]

    @property
    def per_kind(self) -> Dict[str, int]:
        return self.inventory.kept_per_kind(self.mask)

    @property
    def per_block(self) -> List[int]:
        return [int(piece.sum()) for piece in self.mask.split(self.inventory.sizes)]


def kept_heads(path: str) -> KeptHeads:
    """The heads that a checkpoint of ``gated_transformer`` decodes with.

    Raises BadInput when it is none, or cannot be read.
    """
    from .config import inventory_of

    state = load(path)
    logits = state["model"].get("gates.logits")
    if logits is None:
        raise BadInput(f"checkpoint {path}: not a gated_transformer (it has no gates)")
    options = _model_options(state)
    inventory = inventory_of(options)
    keep = getattr(options, "heads_to_keep", None)
    keep = inventory.heads if keep is None else keep
    return KeptHeads(inventory, hard_top_k(logits, keep), logits.clone())


def _model_options(state: Dict[str, Any]) -> Namespace:
    options = state["cfg"]["model"] if state.get("cfg") else state["args"]
    return Namespace(**options) if isinstance(options, dict) else options


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
