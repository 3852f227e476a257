"""``dsp-fairseq average``: the mean of the weights and logits of several checkpoints of one training."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..atomic import check_target, writing
from ..collisions import collisions
from ..config import SAME_PRUNING
from ..errors import BadInput, Failed, flag, refuse
from ..families import known_family
from ..removal import left_in_words
from ..structures.heads import HEADS
from ..structures.inventory import Inventory
from ..structures.parameters import once_per_tensor
from .logit_origin import RANKS, origin_of
from .reading import kept_units_of, load, load_gated, model_options, save, state_of_mask


class Averaged(NamedTuple):
    """The result of :func:`average`; ``str`` gives the two lines that the command prints."""

    checkpoints: int
    after: Inventory  # the units that the mean decodes with
    common: Inventory  # those of them that every single checkpoint keeps too

    @property
    def heads(self) -> int:
        """Number of heads that the mean decodes with."""
        return self.after.count_of(HEADS.name)

    def __str__(self) -> str:
        only_heads = self.after.noun == HEADS.noun
        agreed = f"{self.common.units} of these {self.after.units}" if only_heads else left_in_words(self.common)
        return (
            f"mean of {self.checkpoints} checkpoints, decodes with {left_in_words(self.after)}\n"
            f"{agreed} are kept by every one of the checkpoints"
        )


def average(checkpoints: Sequence[str], out: str, force: bool = False) -> Averaged:
    """Write a checkpoint whose weights and logits are the means over several checkpoints of one training.

    The weights are those that ``scripts/average_checkpoints.py`` of fairseq's repository computes; that script is
    not in PyPI's fairseq and does not run with torch >= 2.6. The stored mask is chosen from the mean logits and
    keeps to the budget exactly.

    Args:
        checkpoints: paths of two or more checkpoints.
        out: path of the file to write.
        force: overwrite ``out``.

    Raises:
        BadInput: there are fewer than two checkpoints; one cannot be read, or differs from the first in its options
            of pruning, its units or a shape; ``out`` exists or is one of the checkpoints.
        Failed: the written file, read again, does not hold the mean.
    """
    if len(checkpoints) < 2:
        raise BadInput(f"{len(checkpoints)} checkpoint given: a mean needs two or more")
    refuse(collisions({"--out": out}, checkpoints))
    check_target(out, force)
    first = load_gated(checkpoints[0], as_saved=True)
    masks = [kept_units_of(first).mask]
    sums = {name: tensor.clone().double() for name, tensor in first["model"].items()}
    for path in checkpoints[1:]:
        state = load_gated(path, as_saved=True)
        refuse(_differences(checkpoints[0], first, path, state))
        masks.append(kept_units_of(state).mask)
        for name, tensor in state["model"].items():
            sums[name] += tensor
    mean = once_per_tensor(first["model"], lambda name, tensor: _as(sums[name] / len(checkpoints), tensor))
    state = {name: value for name, value in first.items() if name not in ("last_optimizer_state", "model")}
    state["model"] = mean
    kept = kept_units_of(state)
    mean.update(state_of_mask(kept.mask, kept.inventory))  # not the mean of the masks
    with writing(out, force) as beside:
        save(state, beside, out)
        _check(load(beside, as_saved=True)["model"], mean, out)
    agreed = torch.stack([*masks, kept.mask]).all(dim=0)
    return Averaged(len(checkpoints), *(kept.inventory.keeping(mask.tolist()) for mask in (kept.mask, agreed)))


def _as(mean: Tensor, like: Tensor) -> Tensor:
    return mean.to(like.dtype) if like.is_floating_point() else like.clone()


def _check(written: dict[str, Tensor], mean: dict[str, Tensor], out: str) -> None:
    equal = partial(torch.allclose, rtol=0.0, atol=0.0, equal_nan=True)  # tensors that fairseq never sets can be NaN
    wrong = [name for name in mean if name not in written or not equal(written[name], mean[name])]
    if wrong:
        raise Failed(f"{out}: {wrong[0]} was not written as it is, so nothing is left of it; please report this")


def _differences(first_path: str, first: dict[str, Any], path: str, state: dict[str, Any]) -> list[str]:
    remedy = "average checkpoints of one training"
    options, others = model_options(first), model_options(state)
    different = [
        f"{path}: trained with {flag(option)} {getattr(others, option, None)}, {first_path} with "
        f"{getattr(options, option, None)}; {remedy}"
        for option in (*SAME_PRUNING, *known_family(options).structure)
        if str(getattr(options, option, None) or None) != str(getattr(others, option, None) or None)
    ]
    noun = kept_units_of(state).inventory.noun
    if getattr(options, "kept_heads", None) != getattr(others, "kept_heads", None):
        different.append(f"{path}: has other {noun} of the original model than {first_path}; {remedy}")
    origins = [origin_of(kept_units_of(each)) for each in (first, state)]
    if origins[0] != origins[1] and RANKS in origins and not different:
        different.append(
            f"{path}: its {noun} have {origins[1].words}, those of {first_path} {origins[0].words}; {remedy}"
        )
    shapes, theirs = ({name: tuple(t.shape) for name, t in s["model"].items()} for s in (first, state))
    wrong = sorted(name for name in {*shapes, *theirs} if shapes.get(name) != theirs.get(name))
    if wrong and not different:  # the vocabularies differ
        name = wrong[0]
        different.append(
            f"{path}: {name} is {list(theirs.get(name, []))}, in {first_path} it is {list(shapes.get(name, []))} "
            f"(and {len(wrong) - 1} more such differences); {remedy}"
        )
    return different
