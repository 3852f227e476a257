"""Multi-head attention with one gate per head, for training and for incremental decoding."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
import torch.nn.functional as F
from fairseq.modules import MultiheadAttention
from torch import Tensor

from ..structures.heads import HEADS
from ..structures.output_scaling import output_scale
from ..structures.structure import entries_of
from .masked_weights import masked_parameters, weight_and_bias


class HeadWeights(NamedTuple):
    """The weights of the n heads that are computed; d is the size of a head, D the width of the model."""

    query: tuple[Tensor, Tensor]  # weight [n*d, D], bias [n*d]
    key: tuple[Tensor, Tensor]  # weight [n*d, width of the keys], bias [n*d]
    value: tuple[Tensor, Tensor]  # weight [n*d, width of the values], bias [n*d]
    output: Tensor  # weight [D, n*d]; the output bias is never gated


class GatedMultiheadAttention(MultiheadAttention):
    """fairseq's attention, with the same parameters and names, whose heads can be gated or not computed.

    A gate multiplies the context of a head before the output projection (Michel et al., NeurIPS 2019;
    Li et al., TACL 2021). Here it multiplies the columns of the output projection instead, with the same result. That
    takes D x D multiplications per block, for any length of the sentences.

    Before a forward pass the model sets one of three states:

    * ``open_all()``: every head is computed, without gates;
    * ``gate(gates)``: every head is computed and multiplied by its gate;
    * ``open_only(heads)``: only these heads are computed. A block without heads outputs its output bias.

    With ``scales_output`` the output without its bias is multiplied by a factor that depends on the number of open
    heads (see ``structures/output_scaling.py``).
    """

    structure = HEADS
    scales_output = False

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._gates: Tensor | None = None
        self._rows: Tensor | None = None  # indices of the rows of the projections that open heads own; None: all
        self._sliced: HeadWeights | None = None  # weights of the open heads, stored during evaluation
        self._fused: tuple[Tensor, Tensor] | None = None  # the result of fused()

    def open_all(self) -> None:
        """Compute every head, without gates."""
        self._gates = self._rows = self._sliced = None

    def gate(self, gates: Tensor) -> None:
        """Compute every head and multiply it by its gate; ``gates`` is float32 [heads], on the model's device."""
        if self.scales_output:
            gates = gates * output_scale(self.num_heads, float(gates.detach().sum()))
        self._gates, self._rows, self._sliced = gates, None, None

    def open_only(self, heads: Tensor) -> None:
        """Compute only the heads with these indices (int64, ascending, on the model's device)."""
        self.open_all()
        if len(heads) < self.num_heads:
            self._rows = entries_of(heads, self.head_dim)

    def remove_all_but(self, heads: Tensor) -> None:
        """Remove the parameters of all heads except those with these indices (int64, ascending)."""
        self.open_all()
        slices = self._select(entries_of(heads, self.head_dim))
        for name, weights in slices.items():
            self.get_parameter(name).data = weights.detach()
        self.num_heads = len(heads)
        self._fused = None

    def _select(self, rows: Tensor) -> dict[str, Tensor]:
        """The weights of the heads that own these rows, by their names; the output weight is scaled."""
        own = self.structure.select(masked_parameters(self), rows)
        if self.scales_output and self.structure.output is not None:
            factor = output_scale(self.num_heads, len(rows) // self.head_dim)
            own[self.structure.output] = own[self.structure.output] * factor
        return own

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
        """One weight [m*n*d, D] and bias [m*n*d] for the m projections of n heads that read the same input.

        In self-attention these are query, key and value (m = 3), in cross-attention key and value (m = 2). For
        inference only: the parameters of the projections become views of the result, so that no weight is stored
        twice.
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
        # fairseq's EMA copies the module between updates; the copy gets its own gates before its next forward pass
        return {**super().__getstate__(), "_gates": None, "_sliced": None, "_fused": None}

    def _load_from_state_dict(self, *args, **kwargs):
        self._sliced = self._fused = None
        return super()._load_from_state_dict(*args, **kwargs)

    @property
    def open_units(self) -> int:
        """Number of heads that are computed."""
        return self.num_heads if self._rows is None else len(self._rows) // self.head_dim

    def _weights(self) -> HeadWeights:
        if self._rows is None:
            return self._gated_weights()
        if self.training or torch.is_grad_enabled():
            return self._slice(self._rows)
        if self._sliced is None:  # weights do not change in evaluation: slice them once
            self._sliced = self._slice(self._rows)
        return self._sliced

    def _gated_weights(self) -> HeadWeights:
        query, key, value, (output, _) = map(weight_and_bias, (self.q_proj, self.k_proj, self.v_proj, self.out_proj))
        if self._gates is not None:
            # [heads] -> [heads, d] -> [heads*d]; float32 because the gradient of a gate is a sum over D*d products,
            # which overflows half precision long before the gradients of the weights do
            columns = self._gates.unsqueeze(1).expand(-1, self.head_dim).reshape(-1)
            output = (output.float() * columns).to(output.dtype)
        return HeadWeights(query, key, value, output)

    def _slice(self, rows: Tensor) -> HeadWeights:
        own = self._select(rows)
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
        """Scaled dot-product attention (Vaswani et al., 2017, section 3.2.2), with the arguments of fairseq.

        Args:
            query: [target, batch, D].
            key: [source, batch, width of the keys]; the values are computed from it too.
            value: not used; fairseq passes the same tensor as ``key``.
            key_padding_mask: [batch, source], nonzero at padding.
            incremental_state: keys and values of earlier positions, in incremental decoding.
            need_weights: return the mean of the attention weights over the open heads.
            static_kv: the keys in ``incremental_state`` are complete, as in cross-attention.
            attn_mask: [target, source], added to the attention scores.
            before_softmax: not supported; raises ValueError.
            need_head_weights: return the attention weights of each open head.

        Returns:
            The output [target, batch, D], and the attention weights in float32: [batch, target, source] or, with
            ``need_head_weights``, [open heads, batch, target, source]; None if not asked for, or if no head is open.
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
        """Keys and values [batch, heads, source, d] of earlier and new positions, and the padding mask of all keys."""
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
        """The output of a block without open heads: its output bias [target, batch, D], and no attention weights."""
        target, batch = query.shape[:2]
        output = self.out_proj.bias.expand(target, batch, -1)
        if self.training:  # data parallel training requires a gradient of every parameter
            unused = (self.q_proj, self.k_proj, self.v_proj, self.out_proj)
            # any shape -> [1], or [0] if all heads of the block are removed
            output = output + 0.0 * sum(
                projection.weight.reshape(-1)[:1].sum() + projection.bias[:1].sum() for projection in unused
            )
        return output, None


def by_input(weight: Tensor) -> Tensor:
    """The same weight [out, in], stored so that all numbers of one input are contiguous in memory.

    On a CPU, multiplying few rows (the hypotheses of one step) by such a weight takes 0.6 to 0.9 of the time;
    multiplying many rows takes the same time (measured by ``benchmarks/weight_layout.py``). Weights on other devices
    are returned as they are.
    """
    if weight.dim() != 2 or weight.device.type != "cpu":
        return weight
    return weight.t().contiguous().t()  # [out, in] -> [in, out] -> [out, in]


def _merge_masks(attn_mask: Tensor | None, key_padding_mask: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    """Both masks as one that broadcasts to [batch, heads, target, source]; None if there is no mask.

    The result is a bool mask (True: attend) if there is only a padding mask, otherwise it is added to the scores.
    """
    if key_padding_mask is None:
        return attn_mask
    padded = key_padding_mask.to(torch.bool)[:, None, None, :]  # [batch, 1, 1, source]
    if attn_mask is None:
        return padded.logical_not()
    return attn_mask.to(dtype).masked_fill(padded, float("-inf"))  # [batch, 1, target, source]


def _attend_with_weights(q, k, v, mask, scaling, dropout):
    """Context [batch, heads, target, d], and the attention weights before dropout [batch, heads, target, source]."""
    scores = torch.matmul(q * scaling, k.transpose(2, 3))
    if mask is not None:
        scores = scores.masked_fill(mask.logical_not(), float("-inf")) if mask.dtype == torch.bool else scores + mask
    attention = F.softmax(scores, dim=-1, dtype=torch.float32)
    probabilities = F.dropout(attention.to(scores.dtype), dropout) if dropout else attention.to(scores.dtype)
    return torch.matmul(probabilities, v), attention
