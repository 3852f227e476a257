"""One product for all words of a batch at the vocabulary, whether the weights have a gradient or not."""

import pytest
import torch
from products import Products
from tiny_language_models import ALL_ATTENTION, TRANSFORMER
from tiny_language_models import build as language_model
from tiny_models import build

from dsp_fairseq.models.gated_transformer import GatedTransformerModel

MODELS = {
    "gated_transformer": lambda: build(GatedTransformerModel, "post-norm", pruning_method="none"),
    TRANSFORMER: lambda: language_model(TRANSFORMER),
    ALL_ATTENTION: lambda: language_model(ALL_ATTENTION),
}


@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("name", MODELS)
def test_one_product(name, frozen):
    decoder = MODELS[name]().decoder.requires_grad_(not frozen)
    features = torch.randn(4, 3, 24).transpose(0, 1)  # as fairseq has them: [batch, target, D], transposed
    with Products() as products:
        logits = decoder.output_layer(features)
    assert products.shapes == [(12, logits.size(-1))]
    assert torch.allclose(logits, torch.stack([decoder.output_projection(row) for row in features]), atol=1e-6)


def test_a_step_of_beam_search():
    decoder = MODELS["gated_transformer"]().decoder.requires_grad_(False)
    with Products() as products:
        logits = decoder.output_layer(torch.randn(5, 24).unsqueeze(1))
    assert products.shapes == [(5, 44)] and logits.shape == (5, 1, 44)
