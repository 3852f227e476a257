"""Small language models for unit tests, their weights away from their trivial start, and batches for them."""

from argparse import Namespace

import torch
from fairseq.data import Dictionary
from fairseq.models import ARCH_CONFIG_REGISTRY, ARCH_MODEL_REGISTRY
from fairseq.models.transformer_lm import TransformerLanguageModel

import dsp_fairseq  # noqa: F401 (registers)
from dsp_fairseq.checkpoints.reading import kept_units_of, with_mask
from dsp_fairseq.families.transformer_lm.options import with_stock_defaults
from dsp_fairseq.gates.choice import Choice, Share
from dsp_fairseq.gates.limits import Limits

TRANSFORMER, ALL_ATTENTION = "gated_transformer_lm", "all_attention_lm"
SIZES = {"decoder_layers": 2, "decoder_embed_dim": 24, "decoder_attention_heads": 3, "dropout": 0.0}
OWN = {
    TRANSFORMER: {
        "decoder_ffn_embed_dim": 32,
        "tokens_per_sample": 64,
        "decoder_output_dim": 24,
        "decoder_input_dim": 24,
    },
    ALL_ATTENTION: {"persistent_vectors": 5, "segment_length": 4, "memory_length": 6, "attention_dropout": 0.0},
}
ADAPTIVE = {
    **{"adaptive_input": True, "adaptive_input_cutoff": "10,20", "adaptive_softmax_cutoff": "10,20"},
    **{"tie_adaptive_weights": True, "tie_adaptive_proj": True},
}
VARIANTS = {
    "plain": {},
    "norms before blocks": {"decoder_normalize_before": True},
    "adaptive": ADAPTIVE,
    "shared embeddings": {"share_decoder_input_output_embed": True},
    "embedding norm": {"layernorm_embedding": True, "no_scale_embedding": True},
}
WORDS = 40
REST = {"optimizer_history": [{"num_updates": 1, "lr_scheduler_state": {}}], "extra_state": {}, "task_state": {}}


class Task:
    def __init__(self):
        self.source_dictionary = Dictionary()
        for i in range(WORDS - len(self.source_dictionary)):
            self.source_dictionary.add_symbol(f"w{i}")
        self.target_dictionary = self.source_dictionary


def options(model, variant="plain", **more):
    own = {"arch": model, "_name": model, "pruning_method": "none", "pruning_mode": "joint", "seed": 1}
    found = Namespace(**{**SIZES, **OWN[model], **VARIANTS[variant], **own, **more})
    ARCH_CONFIG_REGISTRY[model](found)
    return found


def build(model, variant="plain", **more):
    torch.manual_seed(0)
    built = ARCH_MODEL_REGISTRY[model].build_model(options(model, variant, **more), Task())
    return shaken(built).eval()


def shaken(model):
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():  # biases and norms too
        parameter.data += 0.2 * torch.randn(parameter.shape, generator=generator)
    return model


def stock(variant="plain"):
    torch.manual_seed(0)
    given = with_stock_defaults(Namespace(**{**SIZES, **OWN[TRANSFORMER], **VARIANTS[variant]}))
    return shaken(TransformerLanguageModel.build_model(given, Task())).eval()


def batch(lengths=(11, 7, 2)):
    """Words [batch, longest], padded on the right, and their numbers."""
    generator = torch.Generator().manual_seed(2)
    words = torch.randint(4, WORDS, (len(lengths), max(lengths)), generator=generator)
    for row, length in enumerate(lengths):
        words[row, length:] = 1
    return {"src_tokens": words, "src_lengths": torch.tensor(lengths)}


@torch.no_grad()
def chances(model, inputs=None):
    """Log-probabilities [batch, words, types] of a model in evaluation mode."""
    return model.get_normalized_probs(model(**(inputs or batch())), log_probs=True)


def show_mask(model, mask):
    """Make ``mask``, a list of zeros and ones, the mask that decodes, and apply it."""
    mask = torch.tensor(mask, dtype=torch.float64)
    model.gates.set_logits(mask)
    model.gates.set_choice(Choice((Share(int(mask.sum()), Limits(tuple(model.gates.inventory.sizes))),)))
    return model.train().eval()


def checkpoint_of(model, args, mask=None):
    """A checkpoint in the form that fairseq loads; with a mask, one that decodes with it."""
    state = {"cfg": {"model": args, "task": {}, "criterion": {}}, "model": model.state_dict(), **REST}
    if mask is None:
        return state
    return with_mask(state, torch.tensor(mask, dtype=torch.bool) & torch.ones_like(kept_units_of(state).mask))
