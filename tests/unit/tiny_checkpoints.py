"""Small checkpoints of the models in ``tiny_models.py`` for unit tests, in memory, in the form that fairseq loads."""

from argparse import Namespace

import torch
from tiny_models import HEADS, SHAPE, VARIANTS, build

from dsp_fairseq.checkpoints.reading import kept_units_of
from dsp_fairseq.models.gated_transformer import GatedTransformerModel
from dsp_fairseq.structures.surgery import remove_units

# flat over 2 blocks of 3 heads, then 6 of 4: 17 are kept, two blocks are empty
MASK = [1, 0, 1] + [0, 0, 0] + [1, 1, 0, 1] * 3 + [0, 0, 0, 0] + [0, 1, 1, 1] * 2
REST = {"optimizer_history": [{"num_updates": 1, "lr_scheduler_state": {}}], "extra_state": {}, "task_state": {}}


def checkpoint_of(model, **options):
    name = "gated_transformer"
    method = "uniform" if options.get("heads_to_keep") is not None else "none"
    arguments = Namespace(**{**SHAPE, "arch": name, "_name": name, "pruning_method": method, **options})
    return {"cfg": {"model": arguments}, "model": model.state_dict(), **REST}


def masked_checkpoint(variant="post-norm"):
    """A checkpoint with masked heads: head i has the logit i if it is kept, and i - 100 if it is masked."""
    model = build(GatedTransformerModel, variant, pruning_method="uniform", heads_to_keep=sum(MASK))
    kept = torch.tensor(MASK, dtype=torch.float64)
    model.gates.set_logits(torch.arange(HEADS) - 100 * (1 - kept))
    return checkpoint_of(model, heads_to_keep=sum(MASK), **VARIANTS[variant])


def without_removed_heads(state):
    """A copy of the checkpoint without the masked heads, in the form that ``dsp-fairseq prune`` writes."""
    kept = kept_units_of(state)
    after = kept.inventory.keeping(kept.mask.tolist())
    options = Namespace(**{**vars(state["cfg"]["model"]), "heads_to_keep": None, "kept_heads": after.indices()})
    options.pruning_method = "none"
    return {"cfg": {"model": options}, "model": remove_units(state["model"], kept.inventory, after), **REST}
