"""The regulariser of movement pruning: the mean of all sigmoids of scores, group by group."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from .layout import Layout


def open_share(scores: Tensor, layout: Layout, weights: Mapping[str, float]) -> Tensor:
    """R = mean over the groups of weight x mean sigmoid(S) of the group; a scalar with gradient to the scores [N].

    The groups are attention and feed-forward of each part of the model (four of weight 1 in Lagunas et al. 2021).
    A score that several matrices share counts once. R is 0.5 where all scores are 0 and all weights 1.

    Args:
        weights: by name of group; 1 for a group without an entry.
    """
    pieces: dict[str, list[Tensor]] = {}
    for group, piece in zip(layout.groups, torch.split(scores, list(layout.sizes)), strict=True):
        pieces.setdefault(group, []).append(piece)
    means = [weights.get(group, 1.0) * torch.cat(own).sigmoid().mean() for group, own in pieces.items()]
    return torch.stack(means).mean() if means else scores.sum()


def parsed_weights(text: str | None, groups: list[str]) -> dict[str, float]:
    """The weights of groups from a text such as ``stack.ffn=0.5``; raises ValueError with what is wrong."""
    found: dict[str, float] = {}
    for part in (text or "").split(",") if text else []:
        name, _, number = part.partition("=")
        if name not in groups or name in found or not re.fullmatch(r"\d{1,9}(\.\d{1,9})?", number):
            raise ValueError(
                f"must be weights of groups, from 0, such as {','.join(f'{group}=1' for group in groups)}; those left "
                "out have 1"
            )
        found[name] = float(number)
    return found
