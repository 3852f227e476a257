"""Feed-forward blocks whose hidden units can be gated or left out, in groups."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..structures.ffn import FFN
from ..structures.structure import entries_of
from .masked_weights import weight_and_bias


class HiddenLinear(nn.Linear):
    """A linear layer into or out of the hidden units of a feed-forward block; its parameters are fairseq's.

    ``axis`` says where the hidden units lie in its weight [out, in]: 0 for fc1, whose bias they own as well, 1 for fc2.
    """

    def __init__(self, inputs: int, outputs: int, axis: int):
        super().__init__(inputs, outputs)
        self._axis = axis
        self.gates: Tensor | None = None  # of each hidden unit [hidden], float32; only fc2 gets any
        self._kept: Tensor | None = None  # hidden units that are computed, int64; None: all
        self._sliced: tuple[Tensor, Tensor] | None = None

    def compute(self, kept: Tensor | None, gates: Tensor | None = None) -> None:
        """From now on compute only the hidden units ``kept`` (int64, ascending), or all of them times ``gates``."""
        self._kept, self.gates, self._sliced = kept, gates, None

    def forward(self, x: Tensor) -> Tensor:
        """[.., in] -> [.., out], of the hidden units that are computed."""
        return F.linear(x, *self._weights())

    def _weights(self) -> tuple[Tensor, Tensor]:
        weight, bias = weight_and_bias(self)
        if self.gates is not None:
            # in float32, for a gate's gradient is a sum over many products, which overflows half precision
            return (weight.float() * self.gates).to(weight.dtype), bias
        if self._kept is None:
            return weight, bias
        if self.training or torch.is_grad_enabled():
            return self._slice(self._kept)
        if self._sliced is None:  # at evaluation the weights stand still: slice them once
            self._sliced = self._slice(self._kept)
        return self._sliced

    def _slice(self, kept: Tensor) -> tuple[Tensor, Tensor]:
        weight, bias = weight_and_bias(self)
        bias = bias.index_select(0, kept) if self._axis == 0 else bias
        return weight.index_select(self._axis, kept), bias

    def train(self, mode: bool = True):
        self._sliced = None
        return super().train(mode)

    def _apply(self, fn, recurse=True):
        self._sliced = None
        if self._kept is not None:
            self._kept = fn(self._kept)
        return super()._apply(fn, recurse)

    def __getstate__(self):
        # a copy (fairseq's EMA) is made between updates: it gets its own gates at its next forward
        return {**super().__getstate__(), "gates": None, "_sliced": None}

    def _load_from_state_dict(self, *args, **kwargs):
        self._sliced = None
        return super()._load_from_state_dict(*args, **kwargs)


class FeedForward:
    """Applies the gates of a feed-forward block: fc2(activation(fc1(x))), of whose hidden units groups are chosen.

    A gate multiplies the activations of a group. It is applied to their columns of fc2 instead, which is the same and
    costs one product per weight, however long the sentences are. A block with no open group outputs the bias of fc2.
    """

    def __init__(self, fc1: HiddenLinear, fc2: HiddenLinear):
        self._fc1, self._fc2 = fc1, fc2
        self.width = fc1.out_features  # hidden units of a group: all, until the model knows its inventory

    @property
    def hidden_units(self) -> int:
        """Hidden units that the block's parameters hold."""
        return self._fc1.out_features

    @property
    def open_units(self) -> int:
        """Groups that are computed."""
        kept = self._fc1._kept
        return (self.hidden_units if kept is None else len(kept)) // self.width

    def open_all(self) -> None:
        """Compute every group, without gates."""
        self._compute(None)

    def gate(self, gates: Tensor) -> None:
        """Compute every group, times ``gates`` [groups] (float32, on the model's device)."""
        # [groups] -> [groups, group] -> [hidden]
        self._compute(None, gates.unsqueeze(1).expand(-1, self.width).reshape(-1))

    def open_only(self, groups: Tensor) -> None:
        """Compute only the groups with these indices (int64, ascending, on the model's device)."""
        entries = entries_of(groups, self.width)
        self._compute(None if len(entries) == self.hidden_units else entries)

    def remove_all_but(self, groups: Tensor) -> None:
        """Make the parameters those of the groups with these indices (as for :meth:`open_only`), for good."""
        self.open_all()
        own = {
            f"{name}.{part}": parameter
            for name, linear in (("fc1", self._fc1), ("fc2", self._fc2))
            for part, parameter in linear.named_parameters()
        }
        for name, weights in FFN.select(own, entries_of(groups, self.width)).items():
            own[name].data = weights.detach()
        self._fc1.out_features = self._fc2.in_features = len(groups) * self.width

    @contextmanager
    def sentence_gates(self, gates: Tensor) -> Iterator[None]:
        """While it lasts, group j of sentence b is multiplied by ``gates[b, j]``; [batch, open groups]."""

        def gated(_, inputs):
            # [length, batch, hidden] * ([batch, groups] -> [batch, hidden])
            return (inputs[0] * gates.repeat_interleave(self.width, dim=1), *inputs[1:])

        handle = self._fc2.register_forward_pre_hook(gated)
        try:
            yield
        finally:
            handle.remove()

    def _compute(self, kept: Tensor | None, gates: Tensor | None = None) -> None:
        self._fc1.compute(kept)
        self._fc2.compute(kept, gates)
