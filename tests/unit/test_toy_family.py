"""A family is one file: this one has a model with two attention blocks; it carries gates, prunes, ranks and reports.

The model, its family, its task and its criterion are made here, of parts that every plug-in can use.
"""

import json
from argparse import Namespace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fairseq.criterions import FairseqCriterion
from fairseq.data import FairseqDataset
from fairseq.data.data_utils import collate_tokens
from fairseq.models import BaseFairseqModel, register_model, register_model_architecture
from fairseq.tasks import FairseqTask
from omegaconf import OmegaConf
from reporting import said
from tiny_models import near

from dsp_fairseq.checkpoints.building import build_model
from dsp_fairseq.checkpoints.prune import prune
from dsp_fairseq.checkpoints.reading import kept_units, load
from dsp_fairseq.errors import BadInput, refuse
from dsp_fairseq.families import Family, family_named, family_of, register_family
from dsp_fairseq.families.data import PAD
from dsp_fairseq.importance.run import rank
from dsp_fairseq.importance.settings import Settings
from dsp_fairseq.models.gated_model import GatedModel
from dsp_fairseq.modules import GatedMultiheadAttention
from dsp_fairseq.options.problems import model_problems
from dsp_fairseq.structures.heads import HEADS
from dsp_fairseq.structures.inventory import Block, Inventory
from dsp_fairseq.training import PruningCriterion, PruningTask

WIDTH, UNITS, TYPES, K = 16, 4, 20, 3
# the family


@register_family
class ToyFamily(Family):
    model, stock = "gated_toy", "toy"
    stock_task, stock_criterion = "toy_task", "cross_entropy"
    kinds, parts = ("low", "high"), ("words", "low", "high", "out")

    def original_inventory(self, options):
        return Inventory(
            Block(kind, 0, kind, UNITS, tuple(range(UNITS)), HEADS.name, WIDTH // UNITS) for kind in self.kinds
        )

    def task_of(self, weights, dictionary):
        return Namespace()

    def weight_problems(self, options, weights):
        return []

    def probe(self, model):
        return model(torch.arange(12).reshape(2, 6) % TYPES)[0].flatten(0, 1)

    def dataset(self, data, subset):
        return Numbers(subset)


class Numbers(FairseqDataset):
    """Sentences of the numbers that the name of a subset gives their length, such as 3-5-3."""

    def __init__(self, subset):
        self.sizes = np.array([int(length) for length in subset.split("-")])

    def __len__(self):
        return len(self.sizes)

    def __getitem__(self, index):
        return torch.arange(4, 4 + self.sizes[index])

    def num_tokens(self, index):
        return self.sizes[index]

    def num_tokens_vec(self, indices):
        return self.sizes[indices]

    def collater(self, samples):
        tokens = collate_tokens(samples, PAD)
        return {"net_input": {"tokens": tokens}, "target": tokens}


# the model


class Toy(BaseFairseqModel):
    attention = staticmethod(lambda: GatedMultiheadAttention(WIDTH, UNITS, self_attention=True))

    def __init__(self):
        super().__init__()
        self.words = torch.nn.Embedding(TYPES, WIDTH)
        self.low, self.high = self.attention(), self.attention()
        self.out = torch.nn.Linear(WIDTH, TYPES)

    @classmethod
    def build_model(cls, args, task):
        return cls()

    def forward(self, tokens):
        x = self.words(tokens).transpose(0, 1)  # [batch, length, D] -> [length, batch, D]
        for block in (self.low, self.high):
            x = x + block(x, x, x)[0]
        return self.out(x.transpose(0, 1)), None


register_model("toy")(Toy)


@register_model("gated_toy")
class GatedToy(GatedModel, Toy):
    @classmethod
    def build_model(cls, args, task):
        refuse(model_problems(args))
        model = super().build_model(args, task)
        model.carry_gates(args, family_named("gated_toy"))
        return model


for name in ("toy", "gated_toy"):
    register_model_architecture(name, name)(lambda args: None)


# what trains it


class ToyTask(PruningTask, FairseqTask):
    """Of fairseq's plain task, with no data of its own."""


class CountTypes(FairseqCriterion):
    """A stock criterion: the word before is to be found."""

    def forward(self, model, sample, reduce=True):
        tokens = sample["tokens"]
        loss = torch.nn.functional.cross_entropy(
            model(tokens)[0].flatten(0, 1), tokens.roll(1, dims=1).flatten(), reduction="sum"
        )
        return loss, tokens.numel(), {"loss": loss.detach(), "sample_size": tokens.numel(), "ntokens": tokens.numel()}

    @staticmethod
    def reduce_metrics(logging_outputs):
        pass


class GatedCountTypes(PruningCriterion, CountTypes):
    name, stock_name = "gated_count_types", "count_types"


class Adam:
    """As much of fairseq's optimiser as a task asks for."""

    def __init__(self, model):
        self.adam = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-2)
        self.step, self.backward = self.adam.step, lambda loss: loss.backward()


def options(**more):
    found = {"arch": "gated_toy", "_name": "gated_toy", "pruning_method": "dsp", "heads_to_keep": str(K), "seed": 1}
    return Namespace(**{**found, "search_updates": 12, "search_warmup_updates": 2, **more})


def trained(args, updates=15):
    """A model after some updates, with what every update logged."""
    torch.manual_seed(3)
    task = ToyTask(OmegaConf.create({"max_update": updates, "max_epoch": 0, "update_freq": [1]}))
    model = GatedToy.build_model(args, task)
    task._gates, task._share = model.gates, 0.3
    criterion, optimizer, logs = GatedCountTypes(None), Adam(model), []
    for update in range(updates):
        model.train(), criterion.train()
        model.set_num_updates(update)
        for batch in range(2):  # accumulated
            tokens = torch.randint(TYPES, (3, 7), generator=torch.Generator().manual_seed(2 * update + batch))
            logs.append(task.train_step({"tokens": tokens}, model, criterion, optimizer, update)[2])
        task.optimizer_step(SimpleNamespace(step=optimizer.step), model, update)
        optimizer.adam.zero_grad()
    return model, logs


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    args = options()
    model, _ = trained(args)
    path = tmp_path_factory.mktemp("toy") / "checkpoint.pt"
    state = {
        "cfg": {"model": args, "task": {}, "criterion": {}, "common": {}},
        "model": model.state_dict(),
        "optimizer_history": [{"num_updates": 15, "lr_scheduler_state": {}}],
        "extra_state": {},
    }
    torch.save(state, path)
    return path


def test_training_moves_the_logits_and_ends_with_exactly_k(checkpoint):
    model, logs = trained(options())
    start = GatedToy.build_model(options(), None)
    assert not torch.equal(model.gates.logits, start.gates.logits)
    assert not near(model.low.q_proj.weight.detach(), start.low.q_proj.weight.detach())
    assert logs[0]["heads_kept"] == 2 * UNITS and logs[-1]["heads_kept"] == K
    assert logs[-1]["kept_low"] + logs[-1]["kept_high"] == K and "temperature" in logs[4]
    assert int(model.eval().gates.mask().sum()) == K
    assert sum(block.open_units for block in model.gated_blocks) == K


def test_the_gradient_of_the_logits_is_divided_by_all_batches_of_an_update():
    model, _ = trained(options(), updates=0)
    criterion, tokens = GatedCountTypes(None), torch.arange(14).reshape(2, 7)
    model.train(), criterion.train()
    model.set_num_updates(5)
    for _ in range(2):
        criterion(model, {"tokens": tokens})
    assert model.gates._sample_size == 2 * tokens.numel()


def test_a_model_without_gates_is_refused_by_the_criterion():
    with pytest.raises(
        BadInput, match="--criterion gated_count_types: needs a gated model.* or --criterion count_types"
    ):
        GatedCountTypes(None)(Toy(), {"tokens": torch.zeros(1, 2, dtype=torch.long)})


def test_prune_leaves_the_kept_heads_and_the_same_function(checkpoint, tmp_path):
    done = prune(str(checkpoint), str(tmp_path / "small.pt"))
    assert (done.before.units, done.after.units) == (2 * UNITS, K)
    small = build_model(load(str(tmp_path / "small.pt")))
    assert [small.low.num_heads, small.high.num_heads] == [block.units for block in done.after.blocks]
    tokens = torch.arange(10).reshape(2, 5)
    assert near(small(tokens)[0].detach(), build_model(load(str(checkpoint)))(tokens)[0].detach())
    assert done.parameters[0] - done.parameters[1] == (2 * UNITS - K) * (4 * WIDTH * 4 + 3 * 4)


def test_dense_is_the_stock_model(checkpoint, tmp_path):
    prune(str(checkpoint), str(tmp_path / "dense.pt"), dense=True)
    state = load(str(tmp_path / "dense.pt"))
    assert state["cfg"]["model"].arch == "toy" and set(state["model"]) == set(Toy().state_dict())


def test_report_speaks_of_the_kinds_of_the_family(checkpoint, capsys):
    found = json.loads(said(capsys, checkpoint, "--json"))
    assert found["heads"]["kept"] == K and [block["kind"] for block in found["blocks"]] == ["low", "high"]
    assert set(found["parameters"]) >= {"low", "high", "total"}
    assert "low" in said(capsys, checkpoint) and "encoder" not in said(capsys, checkpoint)


@pytest.mark.parametrize("score, read", [("magnitude", {}), ("gradient", {"data": ".", "subset": "3-5-4-5"})])
def test_importance_leaves_the_best_heads(checkpoint, tmp_path, score, read):
    done = rank(str(checkpoint), str(tmp_path / "ranked.pt"), Settings("2", score, step=1, **read))
    assert (int(done.before.mask.sum()), done.after.units) == (K, 2)
    assert set(done.after.indices()) == {"low.0", "high.0"} and bool(
        (done.ranking.importance[done.ranking.mask] > 0).all()
    )
    assert int(kept_units(str(tmp_path / "ranked.pt")).mask.sum()) == 2


def test_what_a_family_does_not_say_is_refused_in_one_line(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(ToyFamily, "dataset", Family.dataset)
    with pytest.raises(BadInput, match="^--score gradient: nothing is known of the data of a gated_toy; choose .*$"):
        rank(str(checkpoint), str(tmp_path / "ranked.pt"), Settings("2", data="."))
    pytest.importorskip("ctranslate2")
    from dsp_fairseq.export.convert import export

    with pytest.raises(BadInput, match="^checkpoint .*: a gated_toy cannot be exported to CTranslate2$"):
        export(str(checkpoint), str(tmp_path / "exported"))


def test_bad_options_are_refused_as_for_any_other_model():
    [problem] = model_problems(options(prunable="encoder.self"))
    assert problem.startswith("--prunable encoder.self: must be one or more of low, high")
    assert model_problems(options(heads_to_keep="9")) == ["--heads-to-keep 9: must be 0 to 8, the heads of this model"]
    assert model_problems(options(frozen="encoder")) == ["--frozen encoder: must be words or low or high or out"]
    assert family_of(options()).model == "gated_toy"
