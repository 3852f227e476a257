"""Linear layers whose weights are masked block by block, while they keep their names and values."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ..gates.weights.blocks import masked


@dataclass(frozen=True)
class BlockMask:
    """The mask of a linear layer's weight at one update."""

    mask: Tensor  # [r, c], of zeros and ones
    scores: Tensor  # [r, c], which gather the straight-through gradient
    rows: Tensor | None  # 1 for rows with an open block, [R]; the bias is masked by it; None: the bias is not masked

    def __deepcopy__(self, memo: dict[int, Any]) -> "BlockMask":
        # a copy of the model (fairseq's EMA makes one) masks as this one does, and has no part in its gradients
        return replace(self, scores=self.scores.detach())


def set_block_mask(linear: nn.Module, mask: BlockMask | None) -> None:
    """From now on the layer computes with masked weights, or (None) with its own."""
    linear.block_mask = mask  # type: ignore[assignment]  # an attribute that is neither saved nor moved


def weight_and_bias(linear: nn.Linear) -> tuple[Tensor, Tensor]:
    """Weight [out, in] and bias [out] with which a layer computes now."""
    mask: BlockMask | None = getattr(linear, "block_mask", None)
    if mask is None:
        return linear.weight, linear.bias
    weight = masked(linear.weight, mask.scores, mask.mask)
    bias = linear.bias if mask.rows is None else linear.bias * mask.rows.to(linear.bias.dtype)
    return weight, bias


def masked_parameters(module: nn.Module) -> dict[str, Tensor]:
    """The parameters of a module by name; those of its linear layers as they compute now."""
    found: dict[str, Tensor] = dict(module.named_parameters())
    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            found[f"{name}.weight"], found[f"{name}.bias"] = weight_and_bias(child)
    return found


@torch.no_grad()
def make_masks_final(linear: nn.Linear) -> None:
    """Put zeros into the parameters where the mask closes them, and take the mask away."""
    weight, bias = weight_and_bias(linear)
    linear.weight.data, linear.bias.data = weight.detach(), bias.detach()
    set_block_mask(linear, None)
