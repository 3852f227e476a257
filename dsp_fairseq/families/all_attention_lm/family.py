"""The family of the All-attention language model (Sukhbaatar et al., 2019; Shim et al., 2021)."""

import math
from argparse import Namespace
from typing import Any, ClassVar

from ...structures.all_attention import LAYOUT, cost_of_head
from ...structures.heads import HEADS
from ...structures.inventory import Block, Inventory
from ...structures.parameters import EMBEDDINGS
from ..family import Size, register_family
from ..transformer_lm.family import TransformerLmFamily
from ..transformer_lm.refusals import tying_problems, unsupported
from ..transformer_lm.words import KINDS
from .options import DEFAULTS, STRUCTURE, type_problems, with_defaults


@register_family
class AllAttentionLmFamily(TransformerLmFamily):
    """Attention with persistent vectors and memory; fairseq has no such model, so there is no stock one."""

    model = "all_attention_lm"
    stock = ""
    ffn_kinds = ()
    layer_kinds = ()
    structure = STRUCTURE
    group = None
    defaults: ClassVar = DEFAULTS
    submodules: ClassVar = {
        "embed_tokens": EMBEDDINGS,
        "distances": EMBEDDINGS,
        "output_projection": EMBEDDINGS,
        "adaptive_softmax": EMBEDDINGS,
    }

    def original_inventory(self, options: Namespace) -> Inventory:
        width, heads = options.decoder_embed_dim, options.decoder_attention_heads
        size = width // heads
        return Inventory(
            Block(
                KINDS[0],
                layer,
                f"decoder.layers.{layer}.self_attn",
                heads,
                tuple(range(heads)),
                HEADS.name,
                size,
                cost_of_head(width, size, options.persistent_vectors),
                layout=LAYOUT,
            )
            for layer in range(options.decoder_layers)
        )

    def type_problems(self, options: Any) -> list[str]:
        return type_problems(options)

    def unsupported(self, options: Namespace) -> list[str]:
        return unsupported(options, self.model)

    def shape_problems(self, options: Namespace) -> list[str]:
        return tying_problems(options)

    def without_files(self, options: Namespace) -> Namespace:
        return with_defaults(options)

    def max_positions(self, options: Namespace) -> Any:
        return math.inf

    def ctranslate2(self) -> None:
        """Nothing: CTranslate2 has neither persistent vectors nor a memory."""

    def size(self, options: Namespace, words: int) -> Size:
        width, layers = options.decoder_embed_dim, options.decoder_layers
        weights = width * (5 * width + 2 * options.persistent_vectors)
        return Size(width * words + layers * weights, width, max(options.persistent_vectors, 1))
