"""Gradient importance: by how much the loss of a sentence changes when a unit is turned down a little."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..families.data import PAD
from .sentences import Sentences


class GradientImportance:
    """I_h = mean over sentences x of |dL(x)/dg_h| at g = 1 (Michel, Levy, Neubig, NeurIPS 2019, section 4).

    L(x) is the negative log-likelihood of the reference of one sentence, summed over its tokens (nats), without
    label smoothing and without dropout; g_h is the gate of unit h. Absolute values are taken of sentences, so
    the gradient of every sentence is needed by itself: see :func:`sentence_gradients`.

    The model is in evaluation mode; its weights are frozen, for good.
    """

    def __init__(self, model, sentences: Sentences, tell: Callable[[int], Any] = lambda count: None):
        """``tell`` is called after every batch with its number of sentences."""
        self._model = model.requires_grad_(False)
        self._sentences, self._tell = sentences, tell

    def __call__(self, mask: Tensor) -> Tensor:
        """Importance [H], float64, when the units of ``mask`` (bool [H]) are there; 0 for the others."""
        open_only(self._model, mask)
        importance = torch.zeros(mask.numel(), dtype=torch.float64)
        if not mask.any():
            return importance
        for sample in self._sentences:
            gradients = sentence_gradients(self._model, sample)  # [batch, open units]
            importance[mask] += gradients.abs().double().sum(dim=0)
            self._tell(len(gradients))
        return importance / len(self._sentences)


def open_only(model, mask: Tensor) -> None:
    """Let the model compute the units of ``mask`` (bool [H]) and no others."""
    for carrier, piece in zip(model.gated_blocks, mask.split(model.gates.inventory.sizes), strict=True):
        carrier.open_only(torch.nonzero(piece).flatten())


def sentence_gradients(model, sample: dict[str, Any]) -> Tensor:
    """dL(x)/dg_h of every sentence x of a batch and every open unit h: [batch, open units], flat order.

    One backward pass: every sentence has gates of its own, and nothing else joins the sentences of a batch.
    """
    sizes = [carrier.open_units for carrier in model.gated_blocks]
    gates = torch.ones(len(sample["target"]), sum(sizes), requires_grad=True)
    with ExitStack() as gated:
        for carrier, own in zip(model.gated_blocks, gates.split(sizes, dim=1), strict=True):
            gated.enter_context(carrier.sentence_gates(own))
        loss = negative_log_likelihood(model, sample)
    [gradients] = torch.autograd.grad(loss, gates)
    return gradients


def negative_log_likelihood(model, sample: dict[str, Any]) -> Tensor:
    """Sum over all tokens of the references of a batch, without padding; nats."""
    chances = model.family.log_probabilities(model, sample)
    # [batch, target, types] -> [batch*target, types] and [batch, target] -> [batch*target]
    return F.nll_loss(chances.flatten(0, 1), sample["target"].flatten(), ignore_index=PAD, reduction="sum")
