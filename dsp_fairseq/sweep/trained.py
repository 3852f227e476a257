"""What the last checkpoint of a finished training tells."""

from typing import NamedTuple

from dsp_fairseq_startup.errors import BadCheckpoint

from ..errors import BadInput, Failed


class Trained(NamedTuple):
    seconds: float  # of the whole training, restarts included
    kept: dict[str, list[int]]  # head indices by block
    heads: dict[str, int]  # of each block before anything was pruned


def read(checkpoint: str) -> Trained:
    """Raises Failed when the checkpoint is not there, or is none of a gated_transformer."""
    from ..checkpoints.reading import kept_heads_of, load_gated

    try:
        state = load_gated(checkpoint)
    except (BadCheckpoint, BadInput) as problem:
        raise Failed(str(problem)) from problem
    seconds = state.get("extra_state", {}).get("previous_training_time")
    if seconds is None:
        raise Failed(f"checkpoint {checkpoint}: does not say how long its training took; train it anew")
    found = kept_heads_of(state)
    heads = {block.name: block.original_units for block in found.inventory.blocks}
    kept = found.inventory.keeping(found.mask.tolist()).indices()
    # fairseq's log counts from the last restart, its checkpoint from the beginning
    return Trained(round(float(seconds), 1), kept, heads)
