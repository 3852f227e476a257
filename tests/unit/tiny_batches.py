"""Models in training and batches for tests of the criterion."""

import torch
from tiny_models import batch, pair

LENGTHS = (6, 4, 3)


def sample():
    """A batch with a target of as many words as it has places that are not padding."""
    inputs = batch()
    target = torch.full(inputs["prev_output_tokens"].shape, 1)
    for row, length in enumerate(LENGTHS):
        target[row, :length] = 7
    return {"net_input": inputs, "target": target, "ntokens": sum(LENGTHS)}


def gated(**options):
    _, model = pair("post-norm", **options)
    model.train()
    model.set_num_updates(1)
    return model
