"""A fairseq Transformer as a CTranslate2 specification (exact with CTranslate2 4.4.0 and 4.8.5)."""

from collections.abc import Mapping

import numpy as np
import torch
from ctranslate2.specs.attention_spec import MultiHeadAttentionSpec
from ctranslate2.specs.common_spec import Activation
from ctranslate2.specs.transformer_spec import TransformerDecoderSpec, TransformerEncoderSpec, TransformerSpec
from torch import Tensor

from ....structures.heads import HEADS
from ....structures.inventory import Block, Inventory
from ....structures.padding import PaddedBlock, padded_block, padded_heads
from ...export_refusals import ACTIVATIONS

Weights = Mapping[str, Tensor]


def specification(
    model, weights: Weights, inventory: Inventory, source: list[str], target: list[str]
) -> TransformerSpec:
    """The model with the heads of ``inventory``, ready to be quantised and saved; it shares no memory with ``weights``.

    Args:
        model: the fairseq model, for everything but its attention blocks.
        weights: its state dict with only the heads of ``inventory`` left.
        source, target: words in the order of the rows of the embeddings.
    """
    inventory = inventory.of_structure(HEADS.name)  # feed-forward blocks may be of any width, each of its own
    heads = padded_heads(inventory)
    spec = TransformerSpec(
        _encoder(model, weights, inventory, heads["encoder"]),
        decoder_specification(model, weights, inventory, heads["decoder"]),
    )
    spec.register_source_vocabulary(source)
    spec.register_target_vocabulary(target)
    spec.config.decoder_start_token = spec.config.eos_token
    spec.config.add_source_eos = True
    spec.validate()
    return spec


def _encoder(model, weights: Weights, inventory: Inventory, heads: int) -> TransformerEncoderSpec:
    cfg = model.cfg
    spec = TransformerEncoderSpec(
        _layers_of(inventory, "encoder"),
        heads,
        pre_norm=cfg.encoder.normalize_before,
        activation=Activation[ACTIVATIONS[cfg.activation_fn]],
        layernorm_embedding=cfg.layernorm_embedding,
    )
    _stack(spec, spec.embeddings[0], model.encoder, weights, "encoder")
    for block in _blocks_of(inventory, "encoder"):
        layer = spec.layer[block.layer]
        layer.self_attention = _self_attention(padded_block(weights, block, heads))
        _norm(layer.self_attention.layer_norm, weights, f"{block.module}_layer_norm")
    return spec


def decoder_specification(
    model, weights: Weights, inventory: Inventory, heads: int, attends_to_encoder: bool = True
) -> TransformerDecoderSpec:
    """The decoder of a model, of an encoder-decoder or alone; ``heads`` is the number that its blocks are padded to."""
    cfg = model.decoder.cfg
    spec = TransformerDecoderSpec(
        _layers_of(inventory, "decoder"),
        heads,
        pre_norm=cfg.decoder.normalize_before,
        no_final_norm=cfg.no_decoder_final_norm,
        activation=Activation[ACTIVATIONS[cfg.activation_fn]],
        layernorm_embedding=cfg.layernorm_embedding,
        with_encoder_attention=attends_to_encoder,
        project_in_out=model.decoder.project_out_dim is not None,
    )
    _stack(spec, spec.embeddings, model.decoder, weights, "decoder")
    _linear(spec.projection, weights, "decoder.output_projection")
    if model.decoder.project_out_dim is not None:
        del spec.project_in  # the embeddings have the decoder's width
        _linear(spec.project_out, weights, "decoder.project_out_dim")
    for block in _blocks_of(inventory, "decoder"):
        layer, padded = spec.layer[block.layer], padded_block(weights, block, heads)
        if block.kind == "decoder.self":
            layer.self_attention = _self_attention(padded)
            _norm(layer.self_attention.layer_norm, weights, f"{block.module}_layer_norm")
        else:
            layer.attention = _cross_attention(padded)
            _norm(layer.attention.layer_norm, weights, f"{block.module}_layer_norm")
    return spec


def _blocks_of(inventory: Inventory, stack: str) -> list[Block]:
    return [block for block in inventory.blocks if block.part == stack]


def _layers_of(inventory: Inventory, stack: str) -> int:
    return len({block.layer for block in _blocks_of(inventory, stack)})


def _stack(spec, embeddings, module, weights: Weights, name: str) -> None:
    """What is the same in both stacks: everything but attention."""
    embeddings.weight = _array(weights[f"{name}.embed_tokens.weight"])
    spec.scale_embeddings = float(module.embed_scale)
    spec.position_encodings.encodings = _positions(module, embeddings.weight.shape[1])
    for norm in ("layer_norm", "layernorm_embedding"):
        if f"{name}.{norm}.weight" in weights:
            _norm(getattr(spec, norm), weights, f"{name}.{norm}")
    for number, layer in enumerate(spec.layer):
        prefix = f"{name}.layers.{number}"
        _feed_forward(layer.ffn, weights, prefix)
        _norm(layer.ffn.layer_norm, weights, f"{prefix}.final_layer_norm")


def _feed_forward(spec, weights: Weights, layer: str) -> None:
    """A feed-forward block; one without hidden units gets a unit of zeros: the runtime takes no empty matrix."""
    _linear(spec.linear_0, weights, f"{layer}.fc1")
    _linear(spec.linear_1, weights, f"{layer}.fc2")
    if not len(spec.linear_0.weight):
        width = spec.linear_0.weight.shape[1]
        spec.linear_0.weight = np.zeros((1, width), dtype=np.float32)
        spec.linear_0.bias = np.zeros(1, dtype=np.float32)
        spec.linear_1.weight = np.zeros((width, 1), dtype=np.float32)


def _positions(module, width: int) -> np.ndarray:
    """Vectors of the positions from the first on, [positions, D]; zeros when the model has no positions."""
    table = module.embed_positions
    if table is None:
        return np.zeros((module.max_positions(), width), dtype=np.float32)
    rows = table.weight if isinstance(table, torch.nn.Embedding) else table.weights
    return _array(rows[table.padding_idx + 1 :])


def _self_attention(block: PaddedBlock) -> MultiHeadAttentionSpec:
    spec = _attention(block, self_attention=True)
    _fused(spec.linear[0], [block.query, block.key, block.value])
    return spec


def _cross_attention(block: PaddedBlock) -> MultiHeadAttentionSpec:
    spec = _attention(block, self_attention=False)
    _fused(spec.linear[0], [block.query])
    _fused(spec.linear[1], [block.key, block.value])
    return spec


def _attention(block: PaddedBlock, self_attention: bool) -> MultiHeadAttentionSpec:
    """The output projection and the two numbers that CTranslate2 would otherwise derive from D and the heads."""
    spec = MultiHeadAttentionSpec(self_attention=self_attention, head_dim=block.width)
    spec.queries_scale = block.scale
    _fused(spec.linear[-1], [block.output])
    return spec


def _fused(spec, projections: list[Mapping[str, Tensor]]) -> None:
    """Projections of one input as one matrix: m times [n*d, D] -> [m*n*d, D]"""
    spec.weight = _array(torch.cat([projection["weight"] for projection in projections]))
    spec.bias = _array(torch.cat([projection["bias"] for projection in projections]))


def _linear(spec, weights: Weights, name: str) -> None:
    spec.weight = _array(weights[f"{name}.weight"])
    bias: Tensor | None = weights.get(f"{name}.bias")
    if bias is not None:
        spec.bias = _array(bias)


def _norm(spec, weights: Weights, name: str) -> None:
    spec.gamma, spec.beta = _array(weights[f"{name}.weight"]), _array(weights[f"{name}.bias"])


def _array(tensor: Tensor) -> np.ndarray:
    """A copy, because quantising works in place and the weights belong to the model."""
    return tensor.detach().clone().numpy()
