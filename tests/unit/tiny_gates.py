"""Gates of a small transformer, and a training of these gates without a model."""

from argparse import Namespace

import torch

from dsp_fairseq.families.transformer.inventory import transformer_inventory
from dsp_fairseq.gates.methods import METHODS
from dsp_fairseq.options.plan import Plan

INVENTORY = transformer_inventory(2, 3, 2, 4)
HEADS = INVENTORY.units
UNITS = [name for name, cls in METHODS.items() if not cls.scores_weights]  # methods that choose units
LEARNED = [name for name, cls in METHODS.items() if cls.learns]
COUNTED = [name for name in LEARNED if not METHODS[name].independent]  # a sample has exactly so many heads


def gates_of(method="dsp", keep=5, seed=1, **options):
    if method == "dsp":
        options.setdefault("search_updates", 100)
    if METHODS[method].independent:
        options.setdefault("l0_penalty", 0.1)
    torch.manual_seed(seed)
    return Plan.of(Namespace(pruning_method=method, heads_to_keep=keep, seed=seed, **options), INVENTORY).gates()


def train(gates, slope, updates, first=0):
    """Train the gates on the linear loss slope . gates."""
    for update in range(first, first + updates):
        gates.set_num_updates(update)
        gates.begin_update()
        sample = None if gates.settled else gates.sample()
        if sample is not None:
            (sample * slope).sum().backward()
            gates.add_sample_size(1)
            gates.step()
    return gates
