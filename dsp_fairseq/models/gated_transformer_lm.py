"""``gated_transformer_lm``: fairseq's Transformer language model whose heads, hidden units and layers carry gates."""

from fairseq.dataclass.utils import gen_parser_from_dataclass
from fairseq.models import register_model
from fairseq.models.transformer import TransformerConfig, TransformerDecoder
from fairseq.models.transformer_lm import TransformerLanguageModel, TransformerLanguageModelConfig

from ..config import PruningConfig
from ..errors import refuse
from ..families import family_named
from ..families.transformer_lm.family import TransformerLmFamily
from ..modules import GatedDecoderLayer
from ..modules.flat_output import FlatOutput
from ..modules.layer_gates import LayerGates
from ..options.problems import model_problems
from .budget_in_layers import budget_in_layers_hidden
from .gated_model import GatedModel
from .gated_transformer import wrapped
from .language_model_embeddings import embeddings_of


@register_model(TransformerLmFamily.model)
class GatedTransformerLanguageModel(GatedModel, TransformerLanguageModel):
    """Transformer language model with one gate per attention head, per group of hidden units and per layer.

    Its parameters have the names of the stock ``transformer_lm``. ``build_model`` raises BadInput when options are
    wrong.
    """

    @classmethod
    def add_args(cls, parser):
        gen_parser_from_dataclass(parser, TransformerLanguageModelConfig(), delete_default=True)
        gen_parser_from_dataclass(parser, PruningConfig.complete(TransformerLmFamily.help)())

    @classmethod
    def build_model(cls, args, task):
        refuse(model_problems(args))
        with budget_in_layers_hidden(args):
            model = cls(GatedLmDecoder(args, task.target_dictionary, embeddings_of(args, task), no_encoder_attn=True))
        model.carry_gates(args, family_named(TransformerLmFamily.model))
        return model

    def make_generation_fast_(self, **kwargs):
        """Remove the pruned units, for evaluation and sampling. The arguments are those of fairseq."""
        if not self._is_generation_fast:
            self.eval()  # in training mode, LayerDrop would hide some layers from iteration
            self.remove_pruned_units()
        super().make_generation_fast_(**kwargs)


class GatedLmDecoder(FlatOutput, TransformerDecoder):
    """fairseq's stack of a language model, of gated layers."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.layer_gates = LayerGates(self)

    def build_decoder_layer(self, args, no_encoder_attn=False):
        cfg = TransformerConfig.from_namespace(args)
        return wrapped(GatedDecoderLayer(cfg, no_encoder_attn), cfg)
