"""A Transformer language model as a CTranslate2 specification: a decoder without an encoder."""

from ctranslate2.specs.transformer_spec import TransformerDecoderModelSpec

from ....structures.heads import HEADS
from ....structures.inventory import Inventory
from ....structures.padding import padded_heads
from ...transformer.export.spec import Weights, decoder_specification


def specification(
    model, weights: Weights, inventory: Inventory, source: list[str], target: list[str]
) -> TransformerDecoderModelSpec:
    """The model with the units of ``inventory``, ready to be quantised and saved.

    Args:
        model: the fairseq model, for everything but its attention blocks.
        weights: its state dict with only the units of ``inventory`` left.
        source, target: the same words, in the order of the rows of the embeddings.
    """
    inventory = inventory.of_structure(HEADS.name)  # feed-forward blocks may be of any width, each of its own
    [heads] = padded_heads(inventory).values()
    spec = TransformerDecoderModelSpec(
        decoder_specification(model, weights, inventory, heads, attends_to_encoder=False)
    )
    spec.register_vocabulary(target)
    spec.config.bos_token = spec.config.eos_token  # a text begins after the end of another one
    spec.validate()
    return spec
