"""Attention with persistent vectors and relative positions, whose heads can be gated or left out."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..structures.all_attention import ALL_ATTENTION_HEADS
from .gated_attention import GatedMultiheadAttention


class AllAttentionWeights(NamedTuple):
    """The weights of the n heads that are computed; d is the size of a head, D the width, N the persistent vectors."""

    query: Tensor  # [n*d, D], like the next three
    key: Tensor
    value: Tensor
    relative: Tensor  # turns the vectors of distances into keys
    content: Tensor  # [n*d], added to the queries for the keys of words
    position: Tensor  # [n*d], added to the queries for the keys of distances
    persistent_keys: Tensor  # [N, n*d]
    persistent_values: Tensor  # [N, n*d]
    output: Tensor  # [D, n*d]


class Past(NamedTuple):
    """Keys and values of earlier words, [batch, heads, words, d] each."""

    keys: Tensor
    values: Tensor


class AllAttention(GatedMultiheadAttention):
    """One layer of the All-attention network (Sukhbaatar et al., 2019, arXiv 1907.01470, section 4), causal.

    The query q_i attends to the words j <= i and to N persistent vectors of the head, in one softmax. With R the
    projected vectors of distances and b, c two biases, the logits are

        ((q_i + b) . k_j + (q_i + c) . R_(i-j)) / sqrt(d)  for a word  (Dai et al., Transformer-XL, ACL 2019, eq. 3)
        q_i . (sqrt(d) m_k) / sqrt(d)                      for a persistent vector

    and the values of persistent vectors are multiplied by sqrt(N), so that learning rates suit their small stored
    numbers. There is no feed-forward block, and query, key and value have no bias: a head owns its share of everything
    but the output bias.
    """

    structure = ALL_ATTENTION_HEADS

    def __init__(self, width: int, heads: int, persistent: int, dropout: float):
        super().__init__(width, heads, dropout=dropout, bias=False, self_attention=True)
        self.out_proj = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.out_proj.weight)
        nn.init.zeros_(self.out_proj.bias)
        self.r_proj = nn.Linear(width, width, bias=False)
        nn.init.xavier_uniform_(self.r_proj.weight, gain=1 / math.sqrt(2))
        self.query_bias = QueryBias(width)
        self.persistent = PersistentVectors(persistent, width, width // heads)
        self._sentence_gates: Tensor | None = None

    def _gated_weights(self) -> AllAttentionWeights:  # type: ignore[override]  # more weights than the base has
        return self._named(dict(self.named_parameters()), super()._gated_weights().output)

    def _slice(self, rows: Tensor) -> AllAttentionWeights:  # type: ignore[override]
        own = self._select(rows)
        return self._named(own, own["out_proj.weight"])

    @staticmethod
    def _named(own, output: Tensor) -> AllAttentionWeights:
        return AllAttentionWeights(
            own["q_proj.weight"],
            own["k_proj.weight"],
            own["v_proj.weight"],
            own["r_proj.weight"],
            own["query_bias.content"],
            own["query_bias.position"],
            own["persistent.keys"],
            own["persistent.values"],
            output,
        )

    def past_of(self, x: Tensor) -> Past:
        """Keys and values of the words x [words, batch, D], which later words attend to."""
        weights: AllAttentionWeights = self._weights()  # type: ignore[assignment]
        return Past(self._split(F.linear(x, weights.key)), self._split(F.linear(x, weights.value)))

    def forward(  # type: ignore[override]  # an attention of its own, which only layers of this family call
        self, x: Tensor, distances: Tensor, past: Past | None = None
    ) -> tuple[Tensor, Past]:
        """Attention of words to themselves, to the words before them and to the persistent vectors.

        Args:
            x: [words, batch, D].
            distances: vectors of the distances 0, 1, ... between words, at least one for each word in ``past`` and
                in ``x``; [distances, D].
            past: keys and values of the words before.

        Returns:
            The output [words, batch, D], and keys and values of all words.
        """
        weights: AllAttentionWeights = self._weights()  # type: ignore[assignment]
        now = self.past_of(x)
        if past is not None:
            now = Past(torch.cat([past.keys, now.keys], dim=2), torch.cat([past.values, now.values], dim=2))
        if not self.open_units:
            return self._empty_output(x, distances), now
        context = self._context(self._split(F.linear(x, weights.query)), now, weights, distances)
        # [batch, heads, words, d] -> [words, batch, heads, d] -> [words, batch, heads*d]
        context = context.permute(2, 0, 1, 3).flatten(2)
        return F.linear(context, weights.output, self.out_proj.bias), now

    def _context(self, q: Tensor, now: Past, weights: AllAttentionWeights, distances: Tensor) -> Tensor:
        """What the heads read, [batch, heads, words, d], for queries q [batch, heads, words, d]."""
        there, size, q = now.keys.size(2), self.head_dim, q * self.scaling
        # [n*d] -> [n, 1, d]
        content, position = (b.view(-1, 1, size) * self.scaling for b in (weights.content, weights.position))
        # [there, n*d] -> [there, n, d] -> [n, d, there], from the largest distance to 0
        relative = F.linear(distances[:there].flip(0), weights.relative).view(there, -1, size).permute(1, 2, 0)
        # [batch, n, words, there] + [batch, n, 1, there]
        bias = shifted(torch.matmul(q + position, relative)) + torch.matmul(content, now.keys.transpose(2, 3))
        later = torch.ones_like(bias[0, 0], dtype=torch.bool).triu(1 + there - q.size(2))
        bias = F.pad(bias.masked_fill(later, float("-inf")), (0, weights.persistent_keys.size(0)))
        keys = self._with_persistent(now.keys, weights.persistent_keys, math.sqrt(size))
        values = self._with_persistent(now.values, weights.persistent_values, math.sqrt(len(weights.persistent_values)))
        # [batch*heads, words, there + N]
        logits = torch.baddbmm(bias.flatten(0, 1), q.flatten(0, 1), keys.flatten(0, 1).transpose(1, 2))
        attention = self.dropout_module(F.softmax(logits, dim=-1, dtype=torch.float32).to(q))
        read = torch.bmm(attention, values.flatten(0, 1)).view_as(q)
        return read if self._sentence_gates is None else read * self._sentence_gates[:, :, None, None]

    def _with_persistent(self, of_words: Tensor, vectors: Tensor, factor: float) -> Tensor:
        """Keys or values of words [batch, heads, words, d] and of persistent vectors: [batch, heads, words + N, d]."""
        # [N, n*d] -> [N, n, d] -> [n, N, d] -> [batch, n, N, d]
        own = (vectors * factor).view(len(vectors), -1, self.head_dim).transpose(0, 1).expand(len(of_words), -1, -1, -1)
        return torch.cat([of_words, own], dim=2)

    def _empty_output(self, x: Tensor, distances: Tensor) -> Tensor:
        """The output of a block without open heads: its output bias [words, batch, D]."""
        output = self.out_proj.bias.expand(*x.shape[:2], -1)
        if self.training:  # data parallel training requires a gradient of every parameter
            unused = sum(parameter.reshape(-1)[:1].sum() for parameter in self.parameters())
            output = output + 0.0 * (unused + distances[:1].sum())
        return output

    @contextmanager
    def sentence_gates(self, gates: Tensor) -> Iterator[None]:
        """While it lasts, head h of sentence b is multiplied by ``gates[b, h]``; [batch, open heads]."""
        self._sentence_gates = gates
        try:
            yield
        finally:
            self._sentence_gates = None

    def fused(self):
        raise NotImplementedError("projections of all-attention are not fused")


class QueryBias(nn.Module):
    """The two biases of all queries of a layer, [heads*d] each."""

    def __init__(self, width: int):
        super().__init__()
        self.content = nn.Parameter(torch.zeros(width))
        self.position = nn.Parameter(torch.zeros(width))


class PersistentVectors(nn.Module):
    """N keys and values of each head, [N, heads*d] each, stored small: their use multiplies them."""

    def __init__(self, vectors: int, width: int, head_size: int):
        super().__init__()
        self.keys = nn.Parameter(torch.empty(vectors, width))
        self.values = nn.Parameter(torch.empty(vectors, width))
        nn.init.normal_(self.keys, std=head_size**-0.5)
        nn.init.normal_(self.values, std=max(vectors, 1) ** -0.5)


def shifted(by_distance: Tensor) -> Tensor:
    """Logits of positions by key instead of by distance (Dai et al., 2019, appendix B).

    ``by_distance`` is [.., words, keys], its last axis from the largest distance, keys - 1, to 0. The last query is at
    the last key: the query i and the key j <= i + keys - words are at the distance i + keys - words - j. Entries of
    later keys mean nothing.
    """
    *rest, words, keys = by_distance.shape
    # [.., words, 1 + keys] -> [.., 1 + keys, words]: every row begins one entry later than the row before
    padded = F.pad(by_distance, (1, 0)).reshape(*rest, keys + 1, words)
    return padded[..., 1:, :].reshape(*rest, words, keys)
