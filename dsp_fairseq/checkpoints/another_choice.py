"""Warnings for a mask that is not the mask under which the checkpoint was trained."""

from argparse import Namespace
from typing import Any

from omegaconf import OmegaConf
from torch import Tensor

from ..removal import left_in_words
from ..structures.heads import HEADS
from .logit_origin import origin_of
from .reading import KeptUnits

_OF_A_TRAINING = "gates.adam.steps"  # an entry that only a training writes; prune and importance leave it out


def options_of_training(args: Any) -> Namespace:
    """The options of a model before ``--model-overrides`` changed them.

    ``args`` is a Namespace or an omegaconf container; the original values are in its entry ``overridden``.
    """
    options: Any = OmegaConf.to_container(args) if OmegaConf.is_config(args) else vars(args)
    return Namespace(**{**options, **(options.get("overridden") or {})})


def is_of_a_training(weights: dict[str, Any]) -> bool:
    """Whether a training wrote this state dict, so that its weights were trained under its own mask."""
    return _OF_A_TRAINING in weights


def warnings_of(kept: KeptUnits, mask: Tensor, trained: bool) -> list[str]:
    """Warn when the units of ``mask`` are not the units that the checkpoint decodes with; one line per warning.

    Args:
        kept: the kept units of the checkpoint, with the options of its training.
        mask: bool [H], the units that are to decode.
        trained: the result of :func:`is_of_a_training`. If False, the units that were open in the training are
            unknown, and nothing is said about units that were not trained to the end.
    """
    if mask.equal(kept.mask):
        return []
    lines, noun = [], kept.inventory.noun
    open_then = _open_in_training(kept)
    closed = int((mask & ~open_then).sum()) if trained else 0
    if closed and kept.inventory.noun == HEADS.noun:
        lines.append(
            f"{int(mask.sum())} {noun}, but the training was for {int(open_then.sum())}: the weights of "
            f"{closed} that are open now were not trained to the end"
        )
    elif closed:
        now, then = (left_in_words(kept.inventory.keeping(each.tolist())) for each in (mask, open_then))
        lines.append(
            f"{now}, but the training was for {then}: the weights of what is open only now were not trained to the end"
        )
    origin = origin_of(kept)
    if 0 < int(mask.sum()) < len(mask) and not origin.ranks_units:
        lines.append(
            f"which {int(mask.sum())} {noun} are open says nothing of their importance: what the checkpoint stores is "
            f"a {origin.words}; dsp-fairseq importance finds out"
        )
    return lines


def _open_in_training(kept: KeptUnits) -> Tensor:
    """The mask, bool [H], under which the training ended; with a range of K, the mask of the largest K."""
    drawn = kept.plan.keep_range
    return kept.mask if drawn is None else kept.plan.keeping(drawn[1]).mask(kept.logits)
