"""What the checkpoint of a cell says about its training and its heads."""

from typing import NamedTuple

from dsp_fairseq_startup.errors import BadCheckpoint

from ..errors import BadInput, Failed
from ..structures.ffn import FFN
from ..structures.heads import HEADS
from ..structures.layers import LAYERS
from ..structures.nesting import rebuilt
from . import records
from .plan import Cell


class Trained(NamedTuple):
    """The part of the record that a training decides."""

    train_seconds: float  # restarts included; of heads chosen without training: 0
    kept: dict[str, list[int]]  # head indices by block
    heads: dict[str, int]  # of each block before anything was pruned
    ffn: int | None  # hidden units that are kept; None: no choice was made among them
    parameters: int  # of the whole model without what is pruned
    prunable: int | None  # those of heads and hidden units among them; None: no choice was made among both
    layers: int | None = None  # that are kept; None: no choice was made among them


def read(cell: Cell) -> Trained:
    """Raises Failed when the checkpoint is not there, or is not one of a gated_transformer."""
    from ..checkpoints.reading import kept_units_of, load_gated
    from ..structures import parameters

    try:
        state = load_gated(cell.checkpoint)
    except (BadCheckpoint, BadInput) as problem:
        raise Failed(str(problem)) from problem
    found = kept_units_of(state)
    after = found.inventory.keeping(found.mask.tolist())
    heads = after.of_structure(HEADS.name)
    weights = state["model"]
    return Trained(
        _seconds(cell, state) if cell.trains else 0.0,
        heads.indices(),
        {block.name: block.original_units for block in heads.blocks},
        after.count_of(FFN.name) if FFN.name in after.structures else None,
        parameters.total(weights) - parameters.of_pruned_units(weights, found.inventory, found.mask.tolist()),
        sum(block.units * block.cost for block in rebuilt(after).blocks) if FFN.name in after.structures else None,
        after.count_of(LAYERS.name) if LAYERS.name in after.structures else None,
    )


def _seconds(cell: Cell, state: dict) -> float:
    """The log of fairseq counts from the last restart, its checkpoint from the beginning of the first training."""
    seconds = state.get("extra_state", {}).get("previous_training_time")
    if seconds is None:
        raise Failed(f"checkpoint {cell.checkpoint}: does not say how long its training took; train it anew")
    # dsp-fairseq prune, which runs before a model is tuned, writes a checkpoint without a time
    earlier = records.read(cell.start).train_seconds if cell.start and not cell.before else None
    return round(max(0.0, float(seconds) - (earlier or 0.0)), 1)
