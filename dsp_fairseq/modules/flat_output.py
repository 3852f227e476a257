"""The projection to the vocabulary, in one product for all words of a batch."""

from typing import Any

from torch import Tensor


class FlatOutput:
    """Mixin in front of fairseq's decoders, whose output is the same, and fast where weights have no gradient.

    fairseq projects a transposed tensor. torch makes one product of it where the weights need a gradient, and else one
    product for each sentence: twice the time for a batch of training, ten times for a step of beam search. Frozen
    decoders, teachers and gradient importance are such cases.
    """

    def output_layer(self, features: Tensor) -> Any:
        # [batch, target, D] -> [batch*target, D]
        rows = super().output_layer(features.reshape(-1, features.size(-1)))  # type: ignore[misc]
        return rows.view(*features.shape[:-1], -1)  # [batch*target, types] -> [batch, target, types]
