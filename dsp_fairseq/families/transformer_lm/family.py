"""The family of fairseq's Transformer language model."""

import re
from argparse import Namespace
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from fairseq.data import FairseqDataset
from torch import Tensor

from ...errors import flag
from ...structures.inventory import Inventory
from ...structures.parameters import EMBEDDINGS, FEED_FORWARD
from ..checks import width_problems
from ..data import DataFolder, WordsOf
from ..family import Converter, Family, Size, register_family
from ..transformer.inventory import DEFAULT_GROUP
from ..work import Work
from . import data as data_of
from .inventory import language_model_inventory
from .options import DEFAULTS, STRUCTURE, completed, type_problems
from .refusals import shape_problems, unsupported
from .teacher import teacher_problems
from .words import CRITERIONS, FFN_KINDS, HELP, KINDS, LAYER_KINDS, TASK

_LENGTHS = (23, 12, 5, 1)  # words of the samples of a probe


@register_family
class TransformerLmFamily(Family):
    """``fairseq.models.transformer_lm``: one stack, which predicts the next word."""

    model = "gated_transformer_lm"
    stock = "transformer_lm"
    stock_task = "language_modeling"
    stock_criterion = "cross_entropy"
    evaluated_by = "fairseq-eval-lm"
    training_task = TASK
    training_criterions = CRITERIONS
    kinds = KINDS
    ffn_kinds: ClassVar[tuple[str, ...]] = FFN_KINDS
    layer_kinds: ClassVar[tuple[str, ...]] = LAYER_KINDS
    parts = ("decoder",)
    structure: ClassVar[tuple[str, ...]] = STRUCTURE
    group: ClassVar[int | None] = DEFAULT_GROUP
    defaults: ClassVar = DEFAULTS
    help: ClassVar = HELP
    submodules: ClassVar = {
        "embed_tokens": EMBEDDINGS,
        "embed_positions": EMBEDDINGS,
        "output_projection": EMBEDDINGS,
        "adaptive_softmax": EMBEDDINGS,
        "fc1": FEED_FORWARD,
        "fc2": FEED_FORWARD,
    }

    def original_inventory(self, options: Namespace) -> Inventory:
        return language_model_inventory(options)

    def layer_options(self, layers: Mapping[str, int]) -> dict[str, Any]:
        return {f"{stack}_layers": number for stack, number in layers.items()}

    def type_problems(self, options: Any) -> list[str]:
        return type_problems(options)

    def unsupported(self, options: Namespace) -> list[str]:
        return unsupported(options, self.model)

    def shape_problems(self, options: Namespace) -> list[str]:
        return shape_problems(options)

    def structure_problems(self, options: Namespace, path: str, stored: Namespace) -> list[str]:
        names = [self.model, self.stock]
        if not all(hasattr(stored, name) for name in self.structure[:3]) or hasattr(stored, "encoder_layers"):
            name = getattr(stored, "arch", None) or getattr(stored, "_name", "another model")
            wanted = " or ".join(filter(None, names))
            return [f"checkpoint {path}: is of {name}, whose weights do not fit {options.arch}; give one of a {wanted}"]
        different = [n for n in self.structure if hasattr(stored, n) and _value(options, n) != _value(stored, n)]
        if not different:
            return []
        said = ", ".join(
            f"{flag(name)} {getattr(options, name, None)} (there {getattr(stored, name)})" for name in different
        )
        return [f"{said}: the weights of {path} fit no other model; say the same as there"]

    def teacher_problems(self, path: str, state: Mapping[str, Any], stored: Namespace, options: Namespace) -> list[str]:
        return teacher_problems(path, state, stored, options)

    def data_problems(self, options: Namespace) -> list[str]:
        return data_of.folder_problems(options)

    def task_of(self, weights: Mapping[str, Tensor], dictionary: Callable[[int], Any]) -> Namespace:
        read, written = data_of.words_of(weights), data_of.words_out_of(weights)
        source = dictionary(read)
        return Namespace(source_dictionary=source, target_dictionary=source if read == written else dictionary(written))

    def without_files(self, options: Namespace) -> Namespace:
        return completed(options)

    def weight_problems(self, options: Namespace, weights: Mapping[str, Tensor]) -> list[str]:
        problems = []
        layers = {name.split(".")[2] for name in weights if re.match(r"decoder\.layers\.\d+\.", name)}
        if len(layers) != options.decoder_layers:
            problems.append(f"--decoder-layers {options.decoder_layers}: it has weights of {len(layers)}")
        if not data_of.words_of(weights):
            problems.append("decoder.embed_tokens has no weights in it")
        return problems + width_problems(options, weights)

    def probe(self, model: Any) -> Tensor:
        generator = torch.Generator().manual_seed(1)
        lengths = torch.tensor(_LENGTHS).clamp(max=model.max_positions())
        words, pad = len(model.decoder.dictionary), model.decoder.padding_idx
        samples = torch.randint(pad + 1, words, (len(lengths), int(lengths.max())), generator=generator)
        is_word = torch.arange(samples.size(1))[None, :] < lengths[:, None]
        net_input = {"src_tokens": samples.masked_fill(~is_word, pad), "src_lengths": lengths}
        return self.log_probabilities(model, {"net_input": net_input})[is_word]  # [tokens, types]

    def log_probabilities(self, model: Any, sample: Mapping[str, Any]) -> Tensor:
        # an adaptive softmax has no logits of all words
        return model.get_normalized_probs(model(**sample["net_input"]), log_probs=True)

    def logits(self, model: Any, net_input: Mapping[str, Tensor]) -> Tensor:
        if model.decoder.adaptive_softmax is None:
            return model(**net_input)[0]
        return self.log_probabilities(model, {"net_input": net_input})  # their softmax is the same at any temperature

    def max_positions(self, options: Namespace) -> Any:
        return getattr(options, "max_target_positions", None) or getattr(options, "tokens_per_sample", 1024)

    def dictionaries(self, data: DataFolder) -> list[WordsOf]:
        words = data_of.dictionary(data)
        return [words, words]

    def dataset(self, data: DataFolder, subset: str) -> FairseqDataset:
        return data_of.dataset(data, subset)

    def ctranslate2(self) -> Converter | None:
        from . import export  # needs CTranslate2

        return export

    def work(self) -> Work:
        from .work import Reading  # needs fairseq's search

        return Reading()

    def size(self, options: Namespace, words: int) -> Size:
        layers, width, inner = (getattr(options, f"decoder_{n}") for n in ("layers", "embed_dim", "ffn_embed_dim"))
        return Size(width * words + layers * (4 * width**2 + 2 * width * inner), width, inner)


def _value(options: Namespace, name: str) -> Any:
    """An option in comparable form: None for off."""
    return getattr(options, name, None) or None
