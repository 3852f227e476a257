"""The architectures of ``gated_transformer``: those of the stock ``transformer``, and a tiny one."""

from fairseq.models import register_model_architecture
from fairseq.models.transformer import transformer_legacy as stock
from omegaconf import OmegaConf

from ..training.preflight import check_training
from .gated_transformer import GatedTransformerModel
from .yaml_options import complete

_STOCK = {
    "gated_transformer": stock.base_architecture,
    "gated_transformer_iwslt_de_en": stock.transformer_iwslt_de_en,
    "gated_transformer_wmt_en_de": stock.transformer_wmt_en_de,
    "gated_transformer_vaswani_wmt_en_de_big": stock.transformer_vaswani_wmt_en_de_big,
    "gated_transformer_wmt_en_de_big": stock.transformer_wmt_en_de_big,
    "gated_transformer_wmt_en_de_big_t2t": stock.transformer_wmt_en_de_big_t2t,
}


def tiny(args):
    """3 + 3 layers of width 64 with 4 heads (H = 36), which learns the tests' corpus in minutes on one core."""
    for side in ("encoder", "decoder"):
        for option, value in {"embed_dim": 64, "ffn_embed_dim": 128, "attention_heads": 4, "layers": 3}.items():
            name = f"{side}_{option}"
            setattr(args, name, getattr(args, name, value))
    stock.base_architecture(args)


def _register(name, shape):
    @register_model_architecture("gated_transformer", name)
    def architecture(args):
        # fairseq calls this after it has parsed the command line and before it writes anything
        if OmegaConf.is_config(args):
            complete(args, GatedTransformerModel.add_args, shape, check_training)
        else:
            shape(args)
            check_training(args)


for _name, _shape in {**_STOCK, "gated_transformer_tiny": tiny}.items():
    _register(_name, _shape)
