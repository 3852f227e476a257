"""Reading checkpoints: untrusted input, loaded with an allow-list."""

import os
import zipfile
from argparse import Namespace
from typing import Any, Dict, List, NamedTuple

from dsp_fairseq_startup.checkpoints import load_checkpoint
from torch import Tensor

from .errors import BadInput
from .gates import hard_top_k
from .inventory import Inventory


def load(path: str) -> Dict[str, Any]:
    """The content of a checkpoint, on the CPU, tensors read from the file when they are used.

    Raises BadInput when there is no such file, BadCheckpoint (exit code 2 like it) when the file is
    damaged or carries anything but what fairseq writes.
    """
    if not os.path.isfile(path):
        raise BadInput(f"checkpoint {path}: does not exist")
    # torch before 1.6 wrote another format, which cannot be mapped
    return load_checkpoint(path, map_location="cpu", mmap=zipfile.is_zipfile(path))


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
