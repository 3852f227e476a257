"""The decoder for beam search, one position at a time, without the work that stock fairseq repeats at every step.

It computes the same as fairseq's ``TransformerDecoderBase`` with an incremental state, but

* the encoder output, its keys and values are stored once per sentence, not once per hypothesis, and all
  hypotheses of a sentence attend to them in one product;
* the keys and values of all self-attention blocks are in one buffer, so reordering the hypotheses is one copy,
  and a new position is written in place;
* query, key and value are computed in one product, attention weights are not returned, and the memory layout of
  the weights is the one that is fast for few rows (see :func:`by_input`);
* a block without heads, or without hidden units, adds its output bias only.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .gated_attention import by_input

ROWS = "rows"  # key in the encoder's output: index of the sentence of every hypothesis, int64 [rows]
FIRST_POSITIONS = 16  # number of positions for which the first buffer has room


class SelfBlock(NamedTuple):
    """The slice start:end of a row of the buffer that holds the keys and values of one self-attention block."""

    start: int
    end: int


class DecoderSteps:
    """Computes the steps of one decoder. The weights of the decoder must not change afterwards."""

    def __init__(self, decoder):
        self._decoder = decoder
        self._places: list[SelfBlock] = []
        start = 0
        for layer in decoder.layers:
            attention = layer.self_attn
            end = start + 2 * attention.num_heads * attention.head_dim
            self._places.append(SelfBlock(start, end))
            start = end
            cross = layer.encoder_attn
            for linear in (attention.out_proj, cross.q_proj, cross.out_proj, layer.fc1, layer.fc2):
                linear.weight.data = by_input(linear.weight.detach())
        self.width = start  # width of a row of the buffer, which holds keys and values of all blocks

    def features(self, tokens: Tensor, encoder_out: dict, state: "StepState") -> Tensor:
        """The decoder's output [batch, 1, D] for the last position of ``tokens``.

        Args:
            tokens: int64 [batch, target], the hypotheses; earlier steps have computed all positions but the last.
            encoder_out: the output of the encoder, as fairseq has it.
            state: the state of the batch, which this step extends by one position.
        """
        decoder = self._decoder
        x = decoder.embed_scale * decoder.embed_tokens(tokens[:, -1])  # [batch, D]
        if decoder.project_in_dim is not None:
            x = decoder.project_in_dim(x)
        if decoder.embed_positions is not None:
            x = x + decoder.embed_positions(tokens, incremental_state={})[:, -1]
        if decoder.layernorm_embedding is not None:
            x = decoder.layernorm_embedding(x)
        state.begin_step(x, self.width)
        state.group_rows(encoder_out, len(x))
        for index, layer in enumerate(decoder.layers):
            x = self._layer(index, layer, x, encoder_out, state)
        state.end_step()
        if decoder.layer_norm is not None:
            x = decoder.layer_norm(x)
        if decoder.project_out_dim is not None:
            x = decoder.project_out_dim(x)
        return x.unsqueeze(1)

    def _layer(self, index, layer, x, encoder_out, state):
        """[batch, D] -> [batch, D]: a decoder layer (Vaswani et al., 2017), with layer norms before or after blocks."""
        before = layer.normalize_before
        norm = layer.self_attn_layer_norm
        x = _add(x, self._attend_to_self(index, layer.self_attn, norm(x) if before else x, state))
        if not before:
            x = norm(x)
        norm = layer.encoder_attn_layer_norm
        x = _add(x, self._attend_to_encoder(index, layer.encoder_attn, norm(x) if before else x, encoder_out, state))
        if not before:
            x = norm(x)
        norm = layer.final_layer_norm
        x = _add(x, _feed_forward(layer, norm(x) if before else x))
        return x if before else norm(x)

    def _attend_to_self(self, index, attention, x, state):
        heads, size = attention.num_heads, attention.head_dim
        if heads == 0:
            return attention.out_proj.bias
        batch, width = len(x), heads * size
        projected = F.linear(x, *attention.fused())  # [batch, 3*heads*d]
        start, end = self._places[index]
        state.append(start, end, projected[:, width:])
        # [positions, batch, 2*heads*d] -> [positions, batch, 2, heads, d] -> [2, batch, heads, positions, d]
        past = state.past(start, end)
        k, v = past.view(-1, batch, 2, heads, size).permute(2, 1, 3, 0, 4)
        q = projected[:, :width].view(batch, heads, 1, size)
        context = F.scaled_dot_product_attention(q, k, v, scale=attention.scaling)
        return attention.out_proj(context.reshape(batch, width))

    def _attend_to_encoder(self, index, attention, x, encoder_out, state):
        heads, size = attention.num_heads, attention.head_dim
        if heads == 0:
            return attention.out_proj.bias
        batch, width = len(x), heads * size
        k, v = state.cross(index, attention, encoder_out)  # [sentences, heads, source, d]
        # [batch, heads*d] -> [sentences, hypotheses, heads, d] -> [sentences, heads, hypotheses, d]
        q = attention.q_proj(x).view(len(k), -1, heads, size).transpose(1, 2)
        context = F.scaled_dot_product_attention(q, k, v, attn_mask=state.source_mask, scale=attention.scaling)
        return attention.out_proj(context.transpose(1, 2).reshape(batch, width))


def _feed_forward(layer, x: Tensor) -> Tensor:
    """[batch, D] -> [batch, D], or without hidden units the bias [D]."""
    if layer.fc1.out_features == 0:
        return layer.fc2.bias
    hidden = layer.fc1(x)
    return layer.fc2(hidden.relu_() if layer.activation_fn is F.relu else layer.activation_fn(hidden))


def _add(residual: Tensor, output: Tensor) -> Tensor:
    """The sum [batch, D], in the memory of ``output``, unless that is the bias [D] of an empty block."""
    return output.add_(residual) if output.dim() == residual.dim() else residual + output


class StepState:
    """What the steps of one batch pass on: keys and values of earlier positions and of the encoder output.

    A row is a hypothesis. The hypotheses of a sentence are consecutive rows.
    """

    KEY = "dsp_fairseq.steps"  # the key of this object in fairseq's incremental state

    def __init__(self):
        self.length = 0  # number of positions that are decoded
        # typed Any because begin_step makes the tensors before anything reads them
        self._buffer: Any = None  # flat; its first numbers, viewed as [positions, rows, width], are keys and values
        self._spare: Any = None  # of the same size; reordering copies from one buffer to the other
        self._rows = self._width = 0
        self._sentences: Tensor | None = None  # index of the sentence of every row, [rows]
        self._chosen: Tensor | None = None  # indices of the sentences that are still decoded; None: all
        self._cross: dict[int, tuple[Tensor, Tensor]] = {}  # layer -> keys and values of all sentences
        self._cross_chosen: dict[int, tuple[Tensor, Tensor]] = {}  # layer -> those of the sentences in _chosen
        self.source_mask: Tensor | None = None  # [sentences, 1, 1, source], added to the attention scores

    @classmethod
    def of(cls, incremental_state: dict) -> "StepState":
        return incremental_state.setdefault(cls.KEY, cls())

    # --- self-attention: keys and values of earlier positions of every row ---

    def begin_step(self, x: Tensor, width: int) -> None:
        self._rows, self._width = len(x), width
        needed = (self.length + 1) * self._rows * width
        if self._buffer is None or self._buffer.numel() < needed:
            positions = max(FIRST_POSITIONS, 2 * self.length)
            larger = x.new_empty(positions * self._rows * width)
            if self._buffer is not None:
                used = self.length * self._rows * width
                larger[:used] = self._buffer[:used]
            self._buffer, self._spare = larger, None

    def append(self, start: int, end: int, keys_and_values: Tensor) -> None:
        """Store keys and values [rows, end - start] of the position that this step decodes."""
        self._view(self._buffer, self.length + 1)[self.length, :, start:end] = keys_and_values

    def past(self, start: int, end: int) -> Tensor:
        """Keys and values [positions, rows, end - start] of all positions up to the one of this step."""
        return self._view(self._buffer, self.length + 1)[:, :, start:end]

    def end_step(self) -> None:
        self.length += 1

    def reorder(self, order: Tensor) -> None:
        """Replace row i by row order[i], for all i; ``order`` is int64 [new number of rows]."""
        past = self._view(self._buffer, self.length)
        if self._spare is None or self._spare.numel() < self.length * len(order) * self._width:
            self._spare = torch.empty_like(self._buffer)
        self._rows = len(order)
        torch.index_select(past, 1, order, out=self._view(self._spare, self.length))
        self._buffer, self._spare = self._spare, self._buffer

    def _view(self, flat: Tensor, positions: int) -> Tensor:
        """The first numbers of a flat buffer as [positions, rows, width]."""
        return flat[: positions * self._rows * self._width].view(positions, self._rows, self._width)

    # --- cross-attention: keys and values are computed once per sentence ---

    def group_rows(self, encoder_out: dict, rows: int) -> None:
        """Update the sentences of the rows and the mask of source positions, if the rows have changed."""
        encoded = encoder_out["encoder_out"][0]
        sentences = encoder_out[ROWS][0] if ROWS in encoder_out else torch.arange(rows, device=encoded.device)
        if self._sentences is not None and torch.equal(sentences, self._sentences):
            return
        self._sentences = sentences
        chosen, counts = torch.unique_consecutive(sentences, return_counts=True)
        if not bool((counts == counts[0]).all()):
            chosen = sentences  # sentences have different numbers of hypotheses: treat each row as a sentence
        everyone = torch.arange(encoded.size(1), device=chosen.device)
        self._chosen = None if torch.equal(chosen, everyone) else chosen
        self._cross_chosen = {}
        self.source_mask = None
        if encoder_out["encoder_padding_mask"]:
            padding = self._of_chosen(encoder_out["encoder_padding_mask"][0].to(torch.bool))
            mask = encoded.new_zeros(padding.shape).masked_fill(padding, float("-inf"))
            self.source_mask = mask[:, None, None, :]

    def cross(self, index: int, attention, encoder_out: dict) -> tuple[Tensor, Tensor]:
        """Keys and values, each [sentences, heads, source, d], of the sentences that are still decoded.

        ``index`` is the index of the layer, and ``attention`` is the module of its cross-attention.
        """
        if index not in self._cross:
            encoded = encoder_out["encoder_out"][0]  # [source, sentences, D]
            source, sentences = encoded.shape[:2]
            # [source, sentences, 2*heads*d] -> [.., 2, heads, d] -> [2, sentences, heads, source, d]
            projected = F.linear(encoded, *attention.fused())
            pair = projected.view(source, sentences, 2, -1, attention.head_dim).permute(2, 1, 3, 0, 4)
            self._cross[index] = (pair[0].contiguous(), pair[1].contiguous())
        if index not in self._cross_chosen:
            k, v = self._cross[index]
            self._cross_chosen[index] = (self._of_chosen(k), self._of_chosen(v))
        return self._cross_chosen[index]

    def _of_chosen(self, tensor: Tensor) -> Tensor:
        return tensor if self._chosen is None else tensor.index_select(0, self._chosen)


def reorder_rows(encoder_out: dict, order: Tensor) -> dict:
    """The encoder's output for hypotheses in the new ``order``, int64 [rows]: only the entry ``ROWS`` changes."""
    rows = encoder_out[ROWS][0].index_select(0, order) if ROWS in encoder_out else order
    return {**encoder_out, ROWS: [rows]}
