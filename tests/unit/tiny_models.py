"""Small models for unit tests: a stock transformer and a gated transformer with the same weights.

30 heads: 2 encoder blocks of 3, then 3 decoder.self and 3 decoder.cross blocks of 4.
"""

from argparse import Namespace

import torch
from fairseq.data import Dictionary
from fairseq.dataclass.configs import GenerationConfig
from fairseq.models.transformer import TransformerModel
from fairseq.tasks.translation import TranslationConfig, TranslationTask

import dsp_fairseq  # noqa: F401 (registers)
from dsp_fairseq.gates.choice import Choice, Share
from dsp_fairseq.gates.limits import Limits
from dsp_fairseq.models.gated_transformer import GatedTransformerModel
from dsp_fairseq.modules.decoder_steps import FIRST_POSITIONS
from dsp_fairseq.structures.surgery import remove_units

HEADS = 30
SHAPE = {
    "arch": "gated_transformer",
    "encoder_embed_dim": 24,
    "encoder_ffn_embed_dim": 32,
    "encoder_layers": 2,
    "encoder_attention_heads": 3,
    "decoder_embed_dim": 24,
    "decoder_ffn_embed_dim": 16,
    "decoder_layers": 3,
    "decoder_attention_heads": 4,
    "dropout": 0.0,
    "max_source_positions": 64,
    "max_target_positions": 64,
}
VARIANTS = {
    "post-norm": {},
    "pre-norm": {"encoder_normalize_before": True, "decoder_normalize_before": True},
    "shared embeddings": {"share_all_embeddings": True},
    "embedding norm": {"layernorm_embedding": True},
    "different widths": {"decoder_embed_dim": 16, "decoder_output_dim": 16, "decoder_input_dim": 16},
    "projected": {"decoder_input_dim": 20, "decoder_output_dim": 12, "share_decoder_input_output_embed": False},
    "learned positions": {"encoder_learned_pos": True, "decoder_learned_pos": True},
    "checkpointed": {"checkpoint_activations": True},
}


class Task:
    def __init__(self):
        self.source_dictionary = Dictionary()
        for i in range(40):
            self.source_dictionary.add_symbol(f"w{i}")
        self.target_dictionary = self.source_dictionary


def build(cls, variant, **pruning):
    torch.manual_seed(0)
    model = cls.build_model(Namespace(**{**SHAPE, **VARIANTS[variant], **pruning}), Task())
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():  # biases and norms too, not their trivial start
        parameter.data += 0.2 * torch.randn(parameter.shape, generator=generator)
    return model


def pair(variant, **pruning):
    """A stock transformer and a gated transformer with the same weights."""
    stock = build(TransformerModel, variant)
    gated = build(GatedTransformerModel, variant, **{"pruning_method": "none", **pruning})
    gated.load_state_dict(stock.state_dict())
    for layer in stock.encoder.layers:
        layer.can_use_fastpath = False
    return stock, gated


def batch(left_pad=True):
    lengths = torch.tensor([7, 4, 2])
    source = torch.full((3, 7), 1)
    target = torch.full((3, 6), 1)
    generator = torch.Generator().manual_seed(2)
    for row, length in enumerate(lengths):
        words = torch.randint(4, 44, (length,), generator=generator)
        source[row, -length:] = words
        target[row, : length - 1] = words[: length - 1]
    target[:, 0] = 2
    return {"src_tokens": source, "src_lengths": lengths, "prev_output_tokens": target}


def near(one, other, tolerance=1e-5):
    """Whether tensors are equal up to the rounding of float32 on any processor, with any kernels and threads.

    Not even twice the same forward pass is equal to the bit: kernels differ by where a tensor lies in memory.
    ``tolerance`` is relative to the largest number.
    """
    return bool((one.double() - other.double()).abs().max() <= tolerance * other.double().abs().max())


def show_mask(gated, mask):
    """Make ``mask``, bool [H], the mask that decodes."""
    mask = torch.tensor(mask, dtype=torch.float64)
    gated.gates.set_logits(mask)
    gated.gates.set_choice(Choice((Share(int(mask.sum()), Limits(tuple(gated.gates.inventory.sizes))),)))


def small_model(gated, variant, mask, **pruning):
    """A model built with the units of a mask only, with the weights that surgery leaves, and its inventory."""
    inventory = gated.gates.inventory
    after = inventory.keeping(mask)
    own = {"pruning_method": "none", "kept_heads": after.indices(), **pruning}
    model = build(GatedTransformerModel, variant, **own)
    model.load_state_dict(remove_units(gated.state_dict(), inventory, after))
    return model.eval(), after


def stock_attention(model):
    layers = model.decoder.layers
    return (
        [layer.self_attn for layer in model.encoder.layers]
        + [layer.self_attn for layer in layers]
        + [layer.encoder_attn for layer in layers]
    )


def translations(models, sample=None, **options):
    """The hypotheses of a task's ``build_generator`` and ``inference_step``, which fairseq-generate calls too."""
    dictionary = Task().source_dictionary
    task = TranslationTask(TranslationConfig(), dictionary, dictionary)
    extra = {name: options.pop(name) for name in ("prefix_tokens", "constraints") if name in options}
    defaults = GenerationConfig(beam=4, max_len_b=FIRST_POSITIONS + 9)
    args = Namespace(**{**vars(defaults), **options})
    sample = sample or {"net_input": batch()}
    sample.setdefault("target", batch()["prev_output_tokens"])
    generator = task.build_generator(models, args)
    torch.manual_seed(5)
    return task.inference_step(generator, models, sample, **extra)
