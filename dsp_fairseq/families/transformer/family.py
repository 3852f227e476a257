"""The family of fairseq's encoder-decoder Transformer."""

import re
from argparse import Namespace
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from fairseq.data import LanguagePairDataset
from fairseq.models.transformer import DEFAULT_MAX_SOURCE_POSITIONS, DEFAULT_MAX_TARGET_POSITIONS
from torch import Tensor

from ...structures.inventory import Inventory
from ...structures.parameters import EMBEDDINGS, FEED_FORWARD
from ..checks import width_problems
from ..data import DataFolder, WordsOf
from ..family import Converter, Family, Size, register_family
from ..work import Work
from . import data as data_of
from .inventory import DEFAULT_GROUP, feed_forward_inventory, group_of, layer_inventory, transformer_inventory
from .options import DEFAULTS, type_problems
from .refusals import shape_problems, unsupported
from .structure import STRUCTURE, structure_problems
from .teacher import teacher_problems
from .words import CRITERION, FFN_KINDS, HELP, KINDS, LAYER_KINDS, STACKS, TASK


@register_family
class TransformerFamily(Family):
    """Encoder and decoder of ``fairseq.models.transformer``."""

    model = "gated_transformer"
    stock = "transformer"
    stock_task = "translation"
    stock_criterion = "label_smoothed_cross_entropy"
    evaluated_by = "fairseq-generate"
    training_task = TASK
    training_criterions = (CRITERION,)
    kinds = KINDS
    ffn_kinds = FFN_KINDS
    layer_kinds = LAYER_KINDS
    parts = STACKS
    structure = STRUCTURE
    group = DEFAULT_GROUP
    defaults: ClassVar = DEFAULTS
    help: ClassVar = HELP
    submodules: ClassVar = {
        "embed_tokens": EMBEDDINGS,
        "embed_positions": EMBEDDINGS,
        "output_projection": EMBEDDINGS,
        "fc1": FEED_FORWARD,
        "fc2": FEED_FORWARD,
    }

    def original_inventory(self, options: Namespace) -> Inventory:
        heads = transformer_inventory(
            options.encoder_layers,
            options.encoder_attention_heads,
            options.decoder_layers,
            options.decoder_attention_heads,
            (
                options.encoder_embed_dim // options.encoder_attention_heads,
                options.decoder_embed_dim // options.decoder_attention_heads,
            ),
        )
        group, layers = group_of(options), layer_inventory(options)
        hidden = Inventory([]) if group is None else feed_forward_inventory(options, group)
        return Inventory([*heads.blocks, *hidden.blocks, *layers.blocks])

    def layer_options(self, layers: Mapping[str, int]) -> dict[str, Any]:
        return {f"{stack}_layers": number for stack, number in layers.items()}

    def type_problems(self, options: Any) -> list[str]:
        return type_problems(options)

    def unsupported(self, options: Namespace) -> list[str]:
        return unsupported(options)

    def shape_problems(self, options: Namespace) -> list[str]:
        return shape_problems(options)

    def structure_problems(self, options: Namespace, path: str, stored: Namespace) -> list[str]:
        return structure_problems(options, path, stored)

    def teacher_problems(self, path: str, state: Mapping[str, Any], stored: Namespace, options: Namespace) -> list[str]:
        return teacher_problems(path, state, stored, options)

    def data_problems(self, options: Namespace) -> list[str]:
        return data_of.folder_problems(options)

    def task_of(self, weights: Mapping[str, Tensor], dictionary: Callable[[int], Any]) -> Namespace:
        source_words, target_words = (len(weights[f"{side}.embed_tokens.weight"]) for side in STACKS)
        source = dictionary(source_words)
        target = source if source_words == target_words else dictionary(target_words)
        return Namespace(source_dictionary=source, target_dictionary=target)

    def without_files(self, options: Namespace) -> Namespace:
        files = {f"{side}_embed_path": None for side in STACKS}
        return Namespace(**{**vars(options), **files})

    def weight_problems(self, options: Namespace, weights: Mapping[str, Tensor]) -> list[str]:
        problems = []
        for side in STACKS:
            layers = {name.split(".")[2] for name in weights if re.match(rf"{side}\.layers\.\d+\.", name)}
            if len(layers) != getattr(options, f"{side}_layers"):
                problems.append(
                    f"--{side}-layers {getattr(options, f'{side}_layers')}: it has weights of {len(layers)}"
                )
            if weights.get(f"{side}.embed_tokens.weight", torch.empty(0)).dim() != 2:
                problems.append(f"{side}.embed_tokens.weight is missing or no matrix")
        return problems + width_problems(options, weights)

    def probe(self, model: Any) -> Tensor:
        generator = torch.Generator().manual_seed(1)
        read, written = (torch.tensor([23, 12, 5, 1]).clamp(max=most) for most in model.max_positions())
        source = _sentences(read, model.encoder.embed_tokens, generator)
        target = _sentences(written, model.decoder.embed_tokens, generator)
        logits, _ = model(source, read, target)
        is_word = torch.arange(int(written.max()))[None, :] < written[:, None]
        return logits[is_word]  # [tokens, types]

    def max_positions(self, options: Namespace) -> tuple[int, int]:
        """Most words of a source and of a target."""
        return (
            getattr(options, "max_source_positions", None) or DEFAULT_MAX_SOURCE_POSITIONS,
            getattr(options, "max_target_positions", None) or DEFAULT_MAX_TARGET_POSITIONS,
        )

    def dictionaries(self, data: DataFolder) -> list[WordsOf]:
        return data_of.dictionaries(data)

    def dataset(self, data: DataFolder, subset: str) -> LanguagePairDataset:
        return data_of.dataset(data, subset)

    def ctranslate2(self) -> Converter:
        from . import export  # needs CTranslate2

        return export

    def work(self) -> Work:
        from .work import Translation  # needs fairseq's search

        return Translation()

    def size(self, options: Namespace, words: int) -> Size:
        weights = options.decoder_embed_dim * words
        for stack, attentions in zip(STACKS, (1, 2), strict=True):
            layers, width, inner = (getattr(options, f"{stack}_{n}") for n in ("layers", "embed_dim", "ffn_embed_dim"))
            weights += layers * (4 * attentions * width**2 + 2 * width * inner)
        return Size(weights, options.encoder_embed_dim, options.encoder_ffn_embed_dim)


def _sentences(lengths: Tensor, embedding: Any, generator: torch.Generator) -> Tensor:
    """Random words [batch, longest], padded on the right."""
    pad = embedding.padding_idx
    words = torch.randint(pad + 1, embedding.num_embeddings, (len(lengths), int(lengths.max())), generator=generator)
    return words.masked_fill(torch.arange(words.size(1))[None, :] >= lengths[:, None], pad)
