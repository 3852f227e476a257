"""The architectures of the language models: those of the stock ``transformer_lm``, and tiny ones."""

from collections.abc import Callable
from typing import Any

from fairseq.models import ARCH_CONFIG_REGISTRY, ARCH_MODEL_INV_REGISTRY, register_model_architecture
from omegaconf import OmegaConf

from ..families.transformer_lm.family import TransformerLmFamily
from ..families.transformer_lm.options import completed
from ..training.preflight import check_training
from .gated_transformer_lm import GatedTransformerLanguageModel
from .yaml_options import complete


def tiny(args):
    """2 layers of width 64 with 4 heads (H = 8), which learn the tests' text in seconds."""
    sizes = {"embed_dim": 64, "ffn_embed_dim": 128, "attention_heads": 4, "layers": 2}
    for option, value in sizes.items():
        name = f"decoder_{option}"
        setattr(args, name, getattr(args, name, value))


def _register(name: str, shape: Callable[[Any], Any]) -> None:
    def whole_shape(args):
        pre_norm = getattr(args, "decoder_normalize_before", True)
        shape(args)
        args.decoder_normalize_before = pre_norm  # the stock functions say True whatever a checkpoint says
        vars(args).update(vars(completed(args)))

    @register_model_architecture(TransformerLmFamily.model, name)
    def architecture(args):
        # fairseq calls this after it has parsed the command line and before it writes anything
        if OmegaConf.is_config(args):
            complete(args, GatedTransformerLanguageModel.add_args, whole_shape, check_training)
        else:
            whole_shape(args)
            check_training(args)


_register("gated_transformer_lm", lambda args: None)
_register("gated_transformer_lm_tiny", tiny)
for _name in ARCH_MODEL_INV_REGISTRY[TransformerLmFamily.stock]:
    if _name != TransformerLmFamily.stock:
        _register(f"gated_{_name}", ARCH_CONFIG_REGISTRY[_name])
