"""The architectures of the language models: those of the stock ``transformer_lm``, and tiny ones."""

from collections.abc import Callable
from typing import Any

from fairseq.models import ARCH_CONFIG_REGISTRY, ARCH_MODEL_INV_REGISTRY, register_model_architecture
from omegaconf import DictConfig, OmegaConf

from ..families.all_attention_lm import options as all_attention
from ..families.all_attention_lm.family import AllAttentionLmFamily
from ..families.transformer_lm.family import TransformerLmFamily
from ..families.transformer_lm.options import completed, with_stock_defaults
from ..training.preflight import check_training
from .all_attention_lm import AllAttentionLanguageModel
from .gated_transformer_lm import GatedTransformerLanguageModel
from .yaml_options import complete


def tiny(args):
    """2 layers of width 64 with 4 heads (H = 8), which learn the tests' text in seconds."""
    _shape(args, embed_dim=64, ffn_embed_dim=128, attention_heads=4, layers=2)


def tiny_all_attention(args):
    """2 layers of width 64 with 4 heads of 32 persistent vectors, segments and memory of 16 words."""
    _shape(args, embed_dim=64, attention_heads=4, layers=2)
    _set(args, persistent_vectors=32, segment_length=16, memory_length=16)


def small_all_attention(args):
    """6 layers of width 128 with 8 heads, for a text of some megabytes."""
    _shape(args, embed_dim=128, attention_heads=8, layers=6)
    _set(args, persistent_vectors=512, segment_length=64, memory_length=64)


def all_attention_wiki103(args):
    """The published geometry (Shim et al., 2021): 16 layers of 8 heads, 419,968 parameters a head."""
    cuts = "20000,40000,200000"
    _shape(args, embed_dim=512, attention_heads=8, layers=16)
    _set(args, persistent_vectors=2000, segment_length=192, memory_length=192, dropout=0.1, attention_dropout=0.2)
    _set(args, adaptive_input=True, adaptive_input_cutoff=cuts, adaptive_softmax_cutoff=cuts)
    _set(args, tie_adaptive_weights=True, tie_adaptive_proj=True)


def _shape(args, **sizes):
    _set(args, **{f"decoder_{name}": value for name, value in sizes.items()})


def _set(args, **values):
    """Set the options that the user did not give."""
    for name, value in values.items():
        setattr(args, name, getattr(args, name, value))


def _register(name: str, family: str, model: Any, shape: Callable[[Any], Any], whole: Callable[[Any], Any]) -> None:
    def whole_shape(args):
        shape(args)
        vars(args).update(vars(whole(args)))

    @register_model_architecture(family, name)
    def architecture(args):
        # fairseq calls this after it has parsed the command line and before it writes anything
        if OmegaConf.is_config(args):
            complete(args, model.add_args, whole_shape, check_training)
            _take_positions(args)
        else:
            whole_shape(args)
            check_training(args)


def _take_positions(cfg: DictConfig) -> None:
    """Take the number of positions from the task of a YAML file, as the options of a command line have it."""
    root: Any = cfg._get_root()
    task = root.get("task") or {}
    if cfg.get("max_target_positions") is None:
        cfg["max_target_positions"] = task.get("max_target_positions") or task.get("tokens_per_sample")


def _gated(name: str, shape: Callable[[Any], Any], whole: Callable[[Any], Any] = completed) -> None:
    _register(name, TransformerLmFamily.model, GatedTransformerLanguageModel, shape, whole)


def _with_its_norms(shape: Callable[[Any], Any]) -> Callable[[Any], None]:
    """The same shape, but a checkpoint with norms after the blocks keeps them: stock shapes say before in any case."""

    def changed(args):
        before = getattr(args, "decoder_normalize_before", True)
        shape(args)
        args.decoder_normalize_before = before

    return changed


_gated("gated_transformer_lm", lambda args: None, with_stock_defaults)
_gated("gated_transformer_lm_tiny", tiny)
for _name in ARCH_MODEL_INV_REGISTRY[TransformerLmFamily.stock]:
    if _name != TransformerLmFamily.stock:
        _gated(f"gated_{_name}", _with_its_norms(ARCH_CONFIG_REGISTRY[_name]))

for _name, _shape_of in {
    "all_attention_lm": lambda args: None,
    "all_attention_lm_tiny": tiny_all_attention,
    "all_attention_lm_small": small_all_attention,
    "all_attention_lm_wiki103": all_attention_wiki103,
}.items():
    _register(_name, AllAttentionLmFamily.model, AllAttentionLanguageModel, _shape_of, all_attention.with_defaults)
