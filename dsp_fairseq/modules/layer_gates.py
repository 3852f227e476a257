"""Whole layers that can be gated or left out: a closed layer passes its input on."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class LayerGate:
    """The state of one layer: computed as it is, times a gate, or not computed at all."""

    def __init__(self) -> None:
        self.gate: Tensor | None = None  # [] or [1, batch, 1]
        self.closed = False

    def set(self, gate: Tensor | None = None, closed: bool = False) -> None:
        self.gate, self.closed = gate, closed

    def __getstate__(self) -> dict[str, Any]:
        # a copy (fairseq's EMA) is made between updates: it gets its own gates at its next forward pass
        return {**self.__dict__, "gate": None}

    def mix(self, x: Tensor, output: Tensor) -> Tensor:
        """x + gate * (output - x), of [length, batch, D] each; exactly x for gate 0, and the output for gate 1."""
        if self.gate is None:
            return output
        # in float32, because the gradient of a gate is a sum over many products, which overflows half precision
        wide = torch.promote_types(output.dtype, self.gate.dtype)
        return torch.lerp(x.to(wide), output.to(wide), self.gate.to(wide)).to(output.dtype)


class GatedLayer:
    """Mixin in front of a fairseq layer whose first input and first output are [length, batch, D]."""

    training: bool  # the fairseq layer has these two
    parameters: Any

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.layer_gate = LayerGate()

    def forward(self, x, *args, **kwargs):
        if self.layer_gate.closed:
            return self._as_output(self._passed_on(x))
        result = super().forward(x, *args, **kwargs)
        if self.layer_gate.gate is None:
            return result
        if isinstance(result, tuple):
            return (self.layer_gate.mix(x, result[0]), *result[1:])
        return self.layer_gate.mix(x, result)

    def _passed_on(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        # data parallel training requires a gradient of every parameter; any shape -> [1], or [0] of an empty one
        return x + 0.0 * sum(parameter.reshape(-1)[:1].sum() for parameter in self.parameters()).to(x.dtype)

    def _as_output(self, x: Tensor) -> Any:
        """What the fairseq layer returns when its output is x."""
        return x


class LayerGates:
    """Applies the gates of all layers of a stack, a module with ``layers`` and ``num_layers`` as fairseq's."""

    def __init__(self, stack: nn.Module):
        self._stack: Any = stack

    @property
    def _gates(self) -> list[LayerGate]:
        layers = self._stack.layers
        # LayerDrop hides layers from iteration, but not from their index
        return [layers[index].layer_gate for index in range(len(layers))]

    @property
    def open_units(self) -> int:
        """Layers that are computed."""
        return sum(not gate.closed for gate in self._gates)

    def open_all(self) -> None:
        """Compute every layer, without gates."""
        for layer in self._gates:
            layer.set()

    def gate(self, gates: Tensor) -> None:
        """Compute every layer, times ``gates`` [layers] (float32, on the model's device)."""
        for layer, gate in zip(self._gates, gates, strict=True):
            layer.set(gate)

    def open_only(self, layers: Tensor) -> None:
        """Compute only the layers with these indices (int64, ascending)."""
        kept = set(layers.tolist())
        for index, layer in enumerate(self._gates):
            layer.set(closed=index not in kept)

    def remove_all_but(self, layers: Tensor) -> None:
        """Remove all layers except those with these indices (int64, ascending) from the stack."""
        kept, own = set(layers.tolist()), self._stack.layers
        self.open_all()
        for index in reversed(range(len(own))):
            if index not in kept:
                del own[index]
        self._stack.num_layers = len(own)

    @contextmanager
    def sentence_gates(self, gates: Tensor) -> Iterator[None]:
        """While it lasts, open layer l of sentence b has the gate ``gates[b, l]``; [batch, open layers]."""
        layers = [layer for layer in self._gates if not layer.closed]
        # [batch, layers] -> [layers, 1, batch, 1], for inputs [length, batch, D]
        for layer, gate in zip(layers, gates.t()[:, None, :, None], strict=True):
            layer.set(gate)
        try:
            yield
        finally:
            for layer in layers:
                layer.set()
