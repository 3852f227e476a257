"""A layer of the all-attention language model: one attention block, which does the work of a feed-forward block too."""

import torch
from fairseq.modules import FairseqDropout, LayerNorm
from torch import Tensor, nn

from .all_attention import AllAttention, Past


class AllAttentionLayer(nn.Module):
    """x + dropout(attention(norm(x))), for the All-attention network (Sukhbaatar et al., 2019)."""

    def __init__(self, width: int, heads: int, persistent: int, dropout: float, attention_dropout: float):
        super().__init__()
        self.self_attn = AllAttention(width, heads, persistent, attention_dropout)
        self.self_attn_layer_norm = LayerNorm(width)
        self.dropout_module = FairseqDropout(dropout, module_name=type(self).__name__)

    def forward(self, x: Tensor, distances: Tensor, memory: Tensor | None = None) -> Tensor:
        """The output [words, batch, D] for x, whose words also attend to the inputs of this layer in ``memory``.

        Args:
            x: [words, batch, D].
            distances: vectors of the distances between words, see :class:`AllAttention`.
            memory: [words before, batch, D], as :func:`last_words` returns it, without gradient.
        """
        past = None if memory is None else self.self_attn.past_of(self.self_attn_layer_norm(memory))
        output, _ = self.self_attn(self.self_attn_layer_norm(x), distances, past)
        return x + self.dropout_module(output)

    def step(self, x: Tensor, distances: Tensor, past: Past | None) -> tuple[Tensor, Past]:
        """The output for the next word x [1, batch, D], and what the word after it attends to."""
        output, past = self.self_attn(self.self_attn_layer_norm(x), distances, past)
        return x + self.dropout_module(output), past


def last_words(inputs: Tensor, memory: Tensor | None, length: int) -> Tensor:
    """The memory of the next segment: the last ``length`` words of ``memory`` and ``inputs`` [words, batch, D]."""
    together = inputs.detach() if memory is None else torch.cat([memory, inputs.detach()])
    return together[max(len(together) - length, 0) :]
