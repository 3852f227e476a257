"""Sentences per second of beam search under budgets in parameters: fairseq and CTranslate2, interleaved.

    python benchmarks/budget_speed.py DATA_BIN [--rounds 5] [--batches 3] [--batch-size 32] [--budgets 50% 25%]
        [--quantization int8|none] [--json FILE]

IWSLT shape, random weights, one thread, beam 5, the setting of decoding_speed.py. The heads and hidden units that
are kept are drawn: random logits under `--parameters-to-keep`, in groups of 64 hidden units. So the blocks are uneven.

* stock: fairseq's `transformer`, as `fairseq-generate` runs it;
* P: `gated_transformer` with P of the prunable parameters kept, as `fairseq-generate` runs it;
* P by hand: stock code with the same heads and hidden units cut out of its weights, the bound;
* ctranslate2, ctranslate2 P: `dsp-fairseq export ctranslate2` of the unpruned model and of those, in this quantization;
* ctranslate2 P even: the same of a model with as many parameters and as many heads in every block as in the others: the
  bound, because an export pads every block to the largest of its stack, and here nothing is padded.
"""

import argparse
import sys
import tempfile
from argparse import Namespace
from pathlib import Path

import ctranslate2
import torch
from decoding_speed import (
    PROJECT,
    NoAttention,
    attention_names,
    batches_of,
    build,
    results_of,
    seconds_of_rounds,
    show,
)
from fairseq import options as fairseq_options
from fairseq import tasks, utils
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from measured import write
from omegaconf import OmegaConf

sys.path.insert(0, str(PROJECT))
from dsp_fairseq.export import QUANTIZATIONS
from dsp_fairseq.export.convert import export
from dsp_fairseq.structures.heads import HEADS

ALL = "100%"
HEAD = 128  # rows of one head of the IWSLT shape
GROUP = 64  # hidden units


def gated(budget, data, folder, heads_per_block=None):
    """A random model under the budget with its options and task, and the checkpoint that a training would write.

    ``heads_per_block``: the number of heads of every block, instead of a random one.
    """
    flags = [data, "--user-dir", str(PROJECT / "dsp_fairseq"), "--share-all-embeddings"]
    flags += ["--arch", "gated_transformer_iwslt_de_en", "--task", "translation_pruning"]
    flags += ["--pruning-method", "uniform", "--parameters-to-keep", budget, "--ffn-group", str(GROUP)]
    if heads_per_block is not None:
        limit = str(heads_per_block)
        flags += ["--min-heads-per-block", limit, "--max-heads-per-block", limit]
    sys.argv = ["fairseq-train", *flags]  # fairseq reads --user-dir there
    config = convert_namespace_to_omegaconf(fairseq_options.parse_args_and_arch(fairseq_options.get_training_parser()))
    task = tasks.setup_task(config.task)
    torch.manual_seed(1)
    model = task.build_model(config.model)
    model.gates.set_logits(torch.randn(model.gates.logits.shape, generator=torch.Generator().manual_seed(3)))
    model.eval()
    untrained = {"optimizer_history": [{"num_updates": 0, "lr_scheduler_state": {}}], "extra_state": {}}
    state = {"args": None, "cfg": OmegaConf.to_container(config), "model": model.state_dict(), **untrained}
    path = str(folder / f"{budget}-{heads_per_block}.pt")
    torch.save(state, path)
    return config, task, model, path


def ready(config, task, model):
    model.prepare_for_inference_(config)
    return task, model, task.build_generator([model], Namespace(beam=5, max_len_a=1.0, max_len_b=0))


def cut_by_hand(model, kept):
    """Stock modules with fewer heads and hidden units; ``kept`` are the indices of units by block."""
    for name in attention_names(model):
        layer, _, child = name.rpartition(".")
        attention = model.get_submodule(name)
        stack, _, number, _ = name.split(".")
        kind = {"self_attn": "self", "encoder_attn": "cross"}[child]
        heads = kept[f"{stack}.{kind}.{number}"]
        if not heads:
            setattr(model.get_submodule(layer), child, NoAttention(attention))
            continue
        rows = torch.cat([torch.arange(HEAD) + HEAD * head for head in heads])
        for projection in (attention.q_proj, attention.k_proj, attention.v_proj):
            projection.weight.data, projection.bias.data = projection.weight.data[rows], projection.bias.data[rows]
        attention.out_proj.weight.data = attention.out_proj.weight.data[:, rows].contiguous()
        attention.num_heads, attention.embed_dim = len(heads), len(rows)
        attention.skip_embed_dim_check = True
    for stack in ("encoder", "decoder"):
        for number, layer in enumerate(model.get_submodule(stack).layers):
            groups = [torch.arange(GROUP) + GROUP * group for group in kept[f"{stack}.ffn.{number}"]]
            units = torch.cat([torch.arange(0), *groups])
            layer.fc1.weight.data, layer.fc1.bias.data = layer.fc1.weight.data[units], layer.fc1.bias.data[units]
            layer.fc2.weight.data = layer.fc2.weight.data[:, units].contiguous()


class Exported:
    """A model of CTranslate2 with the interface of fairseq's generator."""

    def __init__(self, folder, dictionary):
        self.translator = ctranslate2.Translator(folder, inter_threads=1, intra_threads=1)
        self.dictionary = dictionary

    def generate(self, models, batch):
        tokens, padding = batch["net_input"]["src_tokens"], self.dictionary.pad()
        words = [
            [self.dictionary[word] for word in line if word not in (padding, self.dictionary.eos())]
            for line in tokens.tolist()
        ]
        length = tokens.size(1)  # of every translation, as in fairseq
        self.translator.translate_batch(words, beam_size=5, min_decoding_length=length, max_decoding_length=length)


def variants(given, folder):
    """Task, model and generator of every variant."""

    def export_(name, task, model, path):
        exporting = export(path, f"{path}-exported", given.quantization)
        print(f"{name}: exported, off by {exporting.difference:.1e} before the quantization")
        exported[name] = (task, model, Exported(f"{path}-exported", task.source_dictionary))

    built = {"stock": build("stock", given.data, "cpu", False)}
    exported = {}
    for budget in [ALL, *given.budgets]:
        config, task, model, path = gated(budget, given.data, folder)
        inventory = model.gates.inventory
        kept = inventory.keeping(model.gates.mask().tolist()).indices()
        export_("ctranslate2" if budget == ALL else f"ctranslate2 {budget}", task, model, path)
        if budget != ALL:
            counts = {
                kind: sum(len(kept[b.name]) * b.count for b in inventory.blocks if b.kind == kind)
                for kind in inventory.kinds
            }
            print(f"{budget}: " + ", ".join(f"{kind} {count}" for kind, count in counts.items()))
            built[budget] = ready(config, task, model)
            task, by_hand, generator = build("stock", given.data, "cpu", False)
            cut_by_hand(by_hand, kept)
            built[f"{budget} by hand"] = task, by_hand, generator
            attention = [block for block in inventory.blocks if block.structure == HEADS.name]
            each = round(sum(len(kept[block.name]) for block in attention) / len(attention))
            config, task, model, path = gated(budget, given.data, folder, each)
            print(f"{budget} even: {each} heads in each of {len(attention)} blocks")
            export_(f"ctranslate2 {budget} even", task, model, path)
            ready(config, task, model)  # so that the parameters of the table are those that are left
    return built | exported


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=32, help="sentences (default: %(default)s)")
    parser.add_argument("--budgets", nargs="+", default=["50%", "25%"])
    parser.add_argument("--quantization", choices=QUANTIZATIONS, default="int8")
    parser.add_argument("--json", help="file for the figures")
    given = parser.parse_args()
    given.device, given.seconds = "cpu", None
    torch.set_num_threads(1)
    utils.import_user_module(Namespace(user_dir=str(PROJECT / "dsp_fairseq")))
    with tempfile.TemporaryDirectory() as folder:
        built = variants(given, Path(folder))
        batches = batches_of(built["stock"][0], given.batches, given.batch_size, "cpu")
        seconds = seconds_of_rounds(built, batches, given)
    results = results_of(seconds, built, sum(len(batch["id"]) for batch in batches))
    show(results, given.batch_size)
    by_name = {row["variant"]: row for row in results}
    for budget in given.budgets:
        for name, bound in ((budget, "by hand"), (f"ctranslate2 {budget}", "even")):
            ours, most = (by_name[each]["ratio"]["median"] for each in (name, f"{name} {bound}"))
            print(f"{name}: {ours / most:.2f} of the speed of {name} {bound}")
    if given.json:
        settings = {"shape": "iwslt", "beam": 5, "batch_size": given.batch_size, "batches": len(batches)}
        settings.update(rounds=given.rounds, quantization=given.quantization)
        write(given.json, "budgets", "cpu", settings, results)


if __name__ == "__main__":
    main()
