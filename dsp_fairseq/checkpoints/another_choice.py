"""What has to be said when other heads decode than those that a checkpoint was trained for."""

from argparse import Namespace
from typing import Any

from omegaconf import OmegaConf
from torch import Tensor

from .logit_origin import origin_of
from .reading import KeptHeads

_OF_A_TRAINING = "gates.adam.steps"  # a state that prune and importance leave out


def options_of_training(args: Any) -> Namespace:
    """The options of a model, a Namespace or an omegaconf container, as they were before ``--model-overrides``."""
    options: Any = OmegaConf.to_container(args) if OmegaConf.is_config(args) else vars(args)
    return Namespace(**{**options, **(options.get("overridden") or {})})


def is_of_a_training(weights: dict[str, Any]) -> bool:
    """Whether a state dict is as a training wrote it: its heads were trained under its own mask."""
    return _OF_A_TRAINING in weights


def warnings_of(kept: KeptHeads, mask: Tensor, trained: bool) -> list[str]:
    """One line for each thing about ``mask`` [H] that is not as the training of the checkpoint left it.

    Args:
        kept: the heads of the checkpoint, with the options of its training.
        trained: see :func:`is_of_a_training`; else any head may have been open when the weights were trained.
    """
    if mask.equal(kept.mask):
        return []
    lines = []
    closed = int((mask & ~_open_in_training(kept)).sum()) if trained else 0
    if closed:
        lines.append(
            f"{int(mask.sum())} heads, but the training was for {int(_open_in_training(kept).sum())}: the weights of "
            f"{closed} that are open now were not trained to the end"
        )
    origin = origin_of(kept)
    if 0 < int(mask.sum()) < len(mask) and not origin.ranks_heads:
        lines.append(
            f"which {int(mask.sum())} heads are open says nothing of their importance: what the checkpoint stores is a "
            f"{origin.words}; dsp-fairseq importance finds out"
        )
    return lines


def _open_in_training(kept: KeptHeads) -> Tensor:
    """The heads, bool [H], that the training was for; of a range of K those of the largest."""
    drawn = kept.plan.keep_range
    return kept.mask if drawn is None else kept.plan.keeping(drawn[1]).mask(kept.logits)
