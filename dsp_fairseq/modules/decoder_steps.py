"""One decoding step at a time, for beam search: what stock fairseq repeats at every step is done once.

Against fairseq's ``TransformerDecoderBase`` with an incremental state:

* encoder output, its keys and values are held once per sentence, not once per hypothesis, and the
  hypotheses of a sentence attend to them together;
* keys and values of all self-attention blocks lie in one buffer, so a reordering of the beam is one
  copy and a new position is written in place;
* query, key and value come from one product; attention weights are computed for nobody; weights lie in
  memory as few rows want them;
* a block without heads, or without hidden units, is its output bias.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .gated_attention import by_input

ROWS = "rows"  # in the encoder's output: the sentence of every hypothesis
FIRST_POSITIONS = 16  # room for this many before the buffers grow


class SelfBlock(NamedTuple):
    """Where the keys and values of one self-attention block lie in a row of the buffer."""

    start: int
    end: int


class DecoderSteps:
    """The steps of one decoder whose weights do not change any more."""

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
        self.width = start  # of a row of the buffer: keys and values of all blocks

    def features(self, tokens: Tensor, encoder_out: dict, state: "StepState") -> Tensor:
        """Features [batch, 1, D] of the last of ``tokens`` [batch, target]; the others were steps before."""
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
        """[batch, D] -> [batch, D]; a decoder layer as in Vaswani et al. (2017), norm before or after."""
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
    """Their sum [batch, D], in the place of the output; an empty block's output is a bias [D]."""
    return output.add_(residual) if output.dim() == residual.dim() else residual + output


class StepState:
    """What the steps of one batch hand on. Rows are hypotheses; several in a row share a sentence."""

    KEY = "dsp_fairseq.steps"  # in fairseq's incremental state

    def __init__(self):
        self.length = 0  # positions decoded so far
        # Any: begin_step makes the tensor before anything reads it
        self._buffer: Any = None  # flat; as [positions, rows, width] it starts with the past
        self._spare: Any = None  # as large; reordering copies from one to the other
        self._rows = self._width = 0
        self._sentences: Tensor | None = None  # of every row [rows]
        self._chosen: Tensor | None = None  # sentences that are still decoded; None: all
        self._cross: dict[int, tuple[Tensor, Tensor]] = {}
        self._cross_chosen: dict[int, tuple[Tensor, Tensor]] = {}
        self.source_mask: Tensor | None = None  # [sentences, 1, 1, source], added to the scores

    @classmethod
    def of(cls, incremental_state: dict) -> "StepState":
        return incremental_state.setdefault(cls.KEY, cls())

    # --- self-attention: the past of every row ---

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
        """[rows, end - start], of the position that this step decodes."""
        self._view(self._buffer, self.length + 1)[self.length, :, start:end] = keys_and_values

    def past(self, start: int, end: int) -> Tensor:
        """[positions, rows, end - start], this step's position included."""
        return self._view(self._buffer, self.length + 1)[:, :, start:end]

    def end_step(self) -> None:
        self.length += 1

    def reorder(self, order: Tensor) -> None:
        """Row i goes on from row order[i]; int64 [rows from now on]."""
        past = self._view(self._buffer, self.length)
        if self._spare is None or self._spare.numel() < self.length * len(order) * self._width:
            self._spare = torch.empty_like(self._buffer)
        self._rows = len(order)
        torch.index_select(past, 1, order, out=self._view(self._spare, self.length))
        self._buffer, self._spare = self._spare, self._buffer

    def _view(self, flat: Tensor, positions: int) -> Tensor:
        """[positions, rows, width]"""
        return flat[: positions * self._rows * self._width].view(positions, self._rows, self._width)

    # --- attention to the encoder: once per sentence ---

    def group_rows(self, encoder_out: dict, rows: int) -> None:
        """Find out which sentences the rows belong to, when that has changed."""
        encoded = encoder_out["encoder_out"][0]
        sentences = encoder_out[ROWS][0] if ROWS in encoder_out else torch.arange(rows, device=encoded.device)
        if self._sentences is not None and torch.equal(sentences, self._sentences):
            return
        self._sentences = sentences
        chosen, counts = torch.unique_consecutive(sentences, return_counts=True)
        if not bool((counts == counts[0]).all()):
            chosen = sentences  # not the same number of hypotheses everywhere: each for itself
        everyone = torch.arange(encoded.size(1), device=chosen.device)
        self._chosen = None if torch.equal(chosen, everyone) else chosen
        self._cross_chosen = {}
        self.source_mask = None
        if encoder_out["encoder_padding_mask"]:
            padding = self._of_chosen(encoder_out["encoder_padding_mask"][0].to(torch.bool))
            mask = encoded.new_zeros(padding.shape).masked_fill(padding, float("-inf"))
            self.source_mask = mask[:, None, None, :]

    def cross(self, index: int, attention, encoder_out: dict) -> tuple[Tensor, Tensor]:
        """Keys and values [sentences, heads, source, d] of a block, of the sentences still decoded."""
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
    """The encoder's output for hypotheses in this order: only the list of their sentences changes."""
    rows = encoder_out[ROWS][0].index_select(0, order) if ROWS in encoder_out else order
    return {**encoder_out, ROWS: [rows]}
