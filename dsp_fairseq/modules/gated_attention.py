"""Multi-head attention with one gate per head, for both of fairseq's paths."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
import torch.nn.functional as F
from fairseq.modules import MultiheadAttention
from torch import Tensor

from ..structures.heads import HEADS
from ..structures.structure import entries_of


class HeadWeights(NamedTuple):
    """Projections of the heads that are computed; n of them, head size d, model width D."""

    query: tuple[Tensor, Tensor]  # weight [n*d, D], bias [n*d]
    key: tuple[Tensor, Tensor]  # weight [n*d, D of the keys], bias [n*d]
    value: tuple[Tensor, Tensor]
    output: Tensor  # weight [D, n*d]; the output bias is never gated


class GatedMultiheadAttention(MultiheadAttention):
    """fairseq's attention (same parameters, same names) in which heads can be gated or left out.

    A gate multiplies a head's context before the output projection. It is applied to that
    projection's columns instead, which is the same and costs D x D products a block, however long
    the sentences are (METHODS: Li et al., TACL 2021; gate as in Michel et al., NeurIPS 2019).

    Two states, set from outside before a forward pass:

    * ``gates``: a tensor [heads]; every head is computed and multiplied by its gate;
    * kept heads: the others are not computed at all. A block with no open head outputs its output
      bias.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._gates: Tensor | None = None
        self._rows: Tensor | None = None  # of the projections, those of the open heads; None: all
        self._sliced: HeadWeights | None = None
        self._fused: tuple[Tensor, Tensor] | None = None

    def open_all(self) -> None:
        """Every head open, no gate."""
        self._gates = self._rows = self._sliced = None

    def gate(self, gates: Tensor) -> None:
        """Compute every head, times ``gates`` [heads] (float32, on the model's device)."""
        self._gates, self._rows, self._sliced = gates, None, None

    def keep(self, heads: Tensor) -> None:
        """Compute only the heads with these indices (int64, ascending, on the model's device)."""
        self.open_all()
        if len(heads) < self.num_heads:
            self._rows = entries_of(heads, self.head_dim)

    def remove_all_but(self, heads: Tensor) -> None:
        """Make the parameters those of the heads with these indices (as for :meth:`keep`), for good."""
        self.open_all()
        slices = HEADS.select(dict(self.named_parameters()), entries_of(heads, self.head_dim))
        for name, weights in slices.items():
            self.get_parameter(name).data = weights.detach()
        self.num_heads = len(heads)
        self._fused = None

    @contextmanager
    def sentence_gates(self, gates: Tensor) -> Iterator[None]:
        """While it lasts, head h of sentence b is multiplied by ``gates[b, h]``; [batch, open heads].

        The gate is put on the values: a head's context softmax(q k) v is linear in them.
        """
        keys_and_values = self._keys_and_values

        def with_gated_values(*args):
            keys, values, padding = keys_and_values(*args)
            # [batch, heads] -> [batch, heads, 1, 1], for values [batch, heads, source, d]
            return keys, values * gates[:, :, None, None], padding

        # an attribute of this object hides the method of its class
        self._keys_and_values = with_gated_values  # type: ignore[method-assign]
        try:
            yield
        finally:
            del self._keys_and_values

    def fused(self) -> tuple[Tensor, Tensor]:
        """Weight [m*n*d, D] and bias [m*n*d] of the projections that read the same input, as one.

        Self-attention: query, key and value (m = 3); attention to the encoder: key and value
        (m = 2). For inference: the projections' own parameters become parts of it, so nothing is
        held twice.
        """
        if self._fused is None:
            projections = [self.k_proj, self.v_proj]
            if self.self_attention:
                projections.insert(0, self.q_proj)
            parts = []
            for part in ("weight", "bias"):
                whole = by_input(torch.cat([getattr(projection, part).detach() for projection in projections]))
                for projection, piece in zip(projections, whole.chunk(len(projections)), strict=True):
                    getattr(projection, part).data = piece
                parts.append(whole)
            self._fused = (parts[0], parts[1])
        return self._fused

    def train(self, mode: bool = True):
        self._sliced = None
        return super().train(mode)

    def _apply(self, fn, recurse=True):
        self._sliced = self._fused = None
        if self._rows is not None:
            self._rows = fn(self._rows)
        return super()._apply(fn, recurse)

    def __getstate__(self):
        # a copy (fairseq's EMA) is made between updates: it gets its own gates at its next forward
        return {**super().__getstate__(), "_gates": None, "_sliced": None, "_fused": None}

    def _load_from_state_dict(self, *args, **kwargs):
        self._sliced = self._fused = None
        return super()._load_from_state_dict(*args, **kwargs)

    @property
    def open_units(self) -> int:
        """Heads that are computed."""
        return self.num_heads if self._rows is None else len(self._rows) // self.head_dim

    def _weights(self) -> HeadWeights:
        if self._rows is None:
            return self._gated_weights()
        if self.training or torch.is_grad_enabled():
            return self._slice(self._rows)
        if self._sliced is None:  # evaluation: weights stand still, slice them once
            self._sliced = self._slice(self._rows)
        return self._sliced

    def _gated_weights(self) -> HeadWeights:
        output = self.out_proj.weight
        if self._gates is not None:
            # [heads] -> [heads, d] -> [heads*d]; in float32, for a gate's gradient is a sum over
            # D*d products, which overflows half precision long before the weights' gradients do
            columns = self._gates.unsqueeze(1).expand(-1, self.head_dim).reshape(-1)
            output = (output.float() * columns).to(output.dtype)
        return HeadWeights(
            (self.q_proj.weight, self.q_proj.bias),
            (self.k_proj.weight, self.k_proj.bias),
            (self.v_proj.weight, self.v_proj.bias),
            output,
        )

    def _slice(self, rows: Tensor) -> HeadWeights:
        own = HEADS.select(dict(self.named_parameters()), rows)
        query, key, value = ((own[f"{name}.weight"], own[f"{name}.bias"]) for name in ("q_proj", "k_proj", "v_proj"))
        return HeadWeights(query, key, value, own["out_proj.weight"])

    def forward(
        self,
        query: Tensor,
        key: Tensor | None,
        value: Tensor | None,
        key_padding_mask: Tensor | None = None,
        incremental_state: dict[str, dict[str, Tensor | None]] | None = None,
        need_weights: bool = True,
        static_kv: bool = False,
        attn_mask: Tensor | None = None,
        before_softmax: bool = False,
        need_head_weights: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """As in fairseq: query [target, batch, D], key and value [source, batch, D of the keys].

        Returns the output [target, batch, D] and, when asked for, the attention weights: mean over
        the open heads [batch, target, source], or each [open heads, batch, target, source]; None when no head is open.
        """
        if before_softmax:
            raise ValueError("before_softmax is not supported by gated attention")
        weights = self._weights()
        if self.open_units == 0:
            return self._empty(query)
        if self._fused is not None and incremental_state is None and self.self_attention:
            # [length, batch, 3*heads*d] -> 3 of [length, batch, heads*d]
            q, k, v = (self._split(x) for x in F.linear(query, *self._fused).chunk(3, dim=-1))
        else:
            q = self._heads(query, weights.query)
            k, v, key_padding_mask = self._keys_and_values(key, weights, key_padding_mask, incremental_state, static_kv)
        mask = _merge_masks(attn_mask, key_padding_mask, q.dtype)
        dropout = self.dropout_module.p if self.training or self.dropout_module.apply_during_inference else 0.0
        if need_weights or need_head_weights:
            context, attention = _attend_with_weights(q, k, v, mask, self.scaling, dropout)
            attention = attention.transpose(0, 1)  # [heads, batch, target, source]
            if not need_head_weights:
                attention = attention.mean(dim=0)
        else:
            attention = None
            context = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout, scale=self.scaling)
        # [batch, heads, target, d] -> [target, batch, heads, d] -> [target, batch, heads*d]
        context = context.permute(2, 0, 1, 3).flatten(2)
        return F.linear(context, weights.output, self.out_proj.bias), attention

    def _heads(self, x: Tensor, projection: tuple[Tensor, Tensor]) -> Tensor:
        """[length, batch, D] -> [batch, heads, length, d]"""
        return self._split(F.linear(x, *projection))

    def _split(self, projected: Tensor) -> Tensor:
        """[length, batch, heads*d] -> [length, batch, heads, d] -> [batch, heads, length, d]"""
        length, batch = projected.shape[:2]
        return projected.view(length, batch, -1, self.head_dim).permute(1, 2, 0, 3)

    def _keys_and_values(self, key, weights, key_padding_mask, incremental_state, static_kv):
        """Keys and values [batch, heads, source, d] with the cache, and the padding mask of all keys."""
        cache = self._get_input_buffer(incremental_state) if incremental_state is not None else {}
        if static_kv and "prev_key" in cache:
            return cache["prev_key"], cache["prev_value"], cache["prev_key_padding_mask"]
        k = self._heads(key, weights.key)
        v = self._heads(key, weights.value)
        if "prev_key" in cache:
            k = torch.cat([cache["prev_key"], k], dim=2)
            v = torch.cat([cache["prev_value"], v], dim=2)
            key_padding_mask = self._append_prev_key_padding_mask(
                key_padding_mask=key_padding_mask,
                prev_key_padding_mask=cache["prev_key_padding_mask"],
                batch_size=k.size(0),
                src_len=k.size(2),
                static_kv=static_kv,
            )
        if incremental_state is not None:
            cache = {"prev_key": k, "prev_value": v, "prev_key_padding_mask": key_padding_mask}
            self._set_input_buffer(incremental_state, cache)
        return k, v, key_padding_mask

    def _empty(self, query):
        """No head open: the output bias, and no attention anywhere."""
        target, batch = query.shape[:2]
        output = self.out_proj.bias.expand(target, batch, -1)
        if self.training:  # data parallel training waits for a gradient of every parameter
            unused = (self.q_proj, self.k_proj, self.v_proj, self.out_proj)
            # [..] -> [1], or [0] where the heads are removed
            output = output + 0.0 * sum(
                projection.weight.reshape(-1)[:1].sum() + projection.bias[:1].sum() for projection in unused
            )
        return output, None


def by_input(weight: Tensor) -> Tensor:
    """The same weight [out, in] with the numbers of one input next to each other in memory.

    On a CPU a few rows (the hypotheses of a step) times such a weight take 0.6 to 0.9 of the time; many
    rows take the same time (``benchmarks/weight_layout.py``).
    """
    if weight.dim() != 2 or weight.device.type != "cpu":
        return weight
    return weight.t().contiguous().t()  # [out, in] -> [in, out] -> [out, in]


def _merge_masks(attn_mask: Tensor | None, key_padding_mask: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    """One additive mask, or one bool mask (True: attend), for [batch, heads, target, source]."""
    if key_padding_mask is None:
        return attn_mask
    padded = key_padding_mask.to(torch.bool)[:, None, None, :]  # [batch, 1, 1, source]
    if attn_mask is None:
        return padded.logical_not()
    return attn_mask.to(dtype).masked_fill(padded, float("-inf"))  # [batch, 1, target, source]


def _attend_with_weights(q, k, v, mask, scaling, dropout):
    """Context [batch, heads, target, d] and weights before dropout [batch, heads, target, source]."""
    scores = torch.matmul(q * scaling, k.transpose(2, 3))
    if mask is not None:
        scores = scores.masked_fill(mask.logical_not(), float("-inf")) if mask.dtype == torch.bool else scores + mask
    attention = F.softmax(scores, dim=-1, dtype=torch.float32)
    probabilities = F.dropout(attention.to(scores.dtype), dropout) if dropout else attention.to(scores.dtype)
    return torch.matmul(probabilities, v), attention
