"""Converts checkpoints of fairseq 0.10 and older, which hold options as ``args``, to the ``cfg`` of fairseq 0.12.2."""

from typing import Any

from fairseq import checkpoint_utils
from omegaconf import OmegaConf

from dsp_fairseq_startup.errors import BadCheckpoint


def with_cfg(path: str, state: dict[str, Any]) -> dict[str, Any]:
    """The checkpoint ``state`` with its options in ``cfg``, in the format of fairseq 0.12.2.

    A checkpoint that has ``cfg`` already is returned as it is. ``path`` is used in messages only. Raises BadCheckpoint
    when fairseq cannot convert the options.
    """
    if state.get("cfg") or state.get("args") is None:
        return state
    try:
        upgraded = checkpoint_utils._upgrade_state_dict(dict(state))
        cfg = OmegaConf.to_container(upgraded["cfg"], resolve=True, enum_to_str=True)
    except Exception as error:  # options of other versions and other people's plug-ins can be anything
        reason = str(error).strip().partition("\n")[0]
        raise BadCheckpoint(
            f"checkpoint {path}: its args are no options of fairseq 0.12.2 ({type(error).__name__}: {reason[:100]}); "
            "train it on for one update with fairseq-train --restore-file, and give what that writes"
        ) from error
    return {**upgraded, "cfg": cfg}
