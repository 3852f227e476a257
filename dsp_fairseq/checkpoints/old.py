"""Checkpoints of fairseq 0.10 and older, which hold their options as ``args``, as 0.12.2 reads them: with ``cfg``."""

from typing import Any

from fairseq import checkpoint_utils
from omegaconf import OmegaConf

from dsp_fairseq_startup.errors import BadCheckpoint


def with_cfg(path: str, state: dict[str, Any]) -> dict[str, Any]:
    """The same checkpoint, its options as a training of today would have written them; raises BadCheckpoint."""
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
