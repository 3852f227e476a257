"""Small models that movement prunes, and a training of them without fairseq's trainer."""

from argparse import Namespace

import torch
from tiny_models import SHAPE, VARIANTS, Task, batch

from dsp_fairseq.models.gated_transformer import GatedTransformerModel

OPTIONS = {"pruning_method": "movement", "block_rows": 4, "block_cols": 8}  # heads of 8 and of 6 rows


def movement_model(variant="post-norm", **options):
    """A model of 30 heads and 112 hidden units whose weights, biases and norms are random."""
    torch.manual_seed(0)
    chosen = Namespace(**{**SHAPE, **VARIANTS[variant], **OPTIONS, **options})
    model = GatedTransformerModel.build_model(chosen, Task())
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn(parameter.shape, generator=generator)
    return model


def loss_of(model):
    return model(**batch())[0].float().logsumexp(-1).square().mean()


def train(model, updates, first=0, length=None, optimizer=None):
    """Train weights and scores as the task does it: plan at the first update, step after every update."""
    optimizer = torch.optim.Adam(model.parameters(), 1e-3) if optimizer is None else optimizer
    model.gates.plan_search(first, 0, 1.0, length or first + updates)
    for update in range(first, first + updates):
        model.train()
        model.set_num_updates(update)
        model.gates.begin_update()
        optimizer.zero_grad()
        loss_of(model).backward()
        model.gates.add_sample_size(1)
        optimizer.step()
        model.gates.step()
    model.set_num_updates(first + updates)
    return optimizer


def random_scores(model, seed, level=0.5, closed=()):
    """Random scores and a final level; those of matrices whose module ends with one of ``closed`` are lowest."""
    gates = model.gates
    gates.scores.copy_(torch.randn(len(gates.scores), generator=torch.Generator().manual_seed(seed)))
    for matrix in gates.layout.matrices:
        if matrix.module.endswith(tuple(closed)) and closed:
            matrix.of(gates.scores).fill_(-9.0)
    gates.level.fill_(level)
    gates._mask = None
    model.eval()
    return model
