"""Checkpoints that hold ``args`` and no ``cfg``, as fairseq 0.10 and older wrote them, do all that stock ones do.

One is made here. STOCK_CHECKPOINT_DIR names a folder with a genuine one, checkpoint_best.pt, its dictionaries and its
validation set.
"""

import os
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from fairseq import checkpoint_utils
from fairseq.data import indexed_dataset
from fairseq.models.transformer import TransformerModel
from tiny_checkpoints import checkpoint_of
from tiny_models import SHAPE, Task, build

from dsp_fairseq.checkpoints.building import build_model, build_stock_model
from dsp_fairseq.checkpoints.prune import prune
from dsp_fairseq.checkpoints.reading import load
from dsp_fairseq.errors import BadInput
from dsp_fairseq.importance.run import rank
from dsp_fairseq.importance.settings import Settings
from dsp_fairseq.models.gated_transformer import GatedTransformerModel
from dsp_fairseq.training.preflight import check_training
from dsp_fairseq_startup.errors import BadCheckpoint

GENUINE = os.environ.get("STOCK_CHECKPOINT_DIR")
OPTIONS = {
    "arch": "transformer", "task": "translation", "criterion": "cross_entropy", "optimizer": "adam",
    "lr_scheduler": "inverse_sqrt", "lr": [0.05], "min_lr": -1.0, "update_freq": [1], "adam_betas": "(0.9, 0.98)",
    "data": "data-bin/", "source_lang": "de", "target_lang": "en",
    "save_dir": "checkpoints", "max_update": 0, "distributed_world_size": 1, "user_dir": None,
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder of the same form as the genuine one."""
    folder = tmp_path_factory.mktemp("old")
    state = {
        "args": Namespace(**{**SHAPE, **OPTIONS}),
        "model": build(TransformerModel, "post-norm").state_dict(),
        "optimizer_history": [
            {
                "criterion_name": "CrossEntropyCriterion",
                "optimizer_name": "FairseqAdam",
                "lr_scheduler_state": {"best": 1.3},
                "num_updates": 9,
            }
        ],
        "extra_state": {"train_iterator": {"epoch": 3, "iterations_in_epoch": 0}, "val_loss": 1.2},
        "last_optimizer_state": {},
    }
    torch.save(state, folder / "checkpoint_best.pt")
    for language in ("de", "en"):
        Task().source_dictionary.save(str(folder / f"dict.{language}.txt"))
        prefix = str(folder / f"valid.de-en.{language}")
        builder = indexed_dataset.make_builder(f"{prefix}.bin", impl="mmap", vocab_size=44)
        for length in (3, 5, 2):
            builder.add_item(torch.cat([torch.arange(4, 4 + length), torch.tensor([2])]))
        builder.finalize(f"{prefix}.idx")
    return folder


@pytest.fixture(params=["made", "genuine"])
def folder(request, made):
    if request.param == "genuine" and not GENUINE:
        pytest.skip("STOCK_CHECKPOINT_DIR is not set")
    return made if request.param == "made" else Path(GENUINE)


@pytest.fixture
def path(folder):
    return str(folder / "checkpoint_best.pt")


def logits(model, words):
    source = torch.arange(4, 12).remainder(words).clamp(min=4)[None]
    with torch.no_grad():
        return model.eval()(source, torch.tensor([8]), source)[0]


def as_fairseq_loads_it(path):
    """The model that fairseq-generate would decode with."""
    state = checkpoint_utils.load_checkpoint_to_cpu(path, {})
    options, words = state["cfg"].model, len(state["model"]["encoder.embed_tokens.weight"])
    task = Task()
    for number in range(44, words):
        task.source_dictionary.add_symbol(f"more{number}")
    del task.source_dictionary.symbols[words:]
    kind = GatedTransformerModel if "gates.logits" in state["model"] else TransformerModel
    model = kind.build_model(options, task)
    model.load_state_dict(state["model"], model_cfg=options)
    return logits(model, words)


def test_importance_then_prune_then_fairseq(folder, path, tmp_path):
    stored, ranked = load(path)["args"], str(tmp_path / "ranked.pt")
    total = (
        stored.encoder_layers * stored.encoder_attention_heads
        + 2 * stored.decoder_layers * stored.decoder_attention_heads
    )
    rank(path, ranked, Settings(str(total), "magnitude"))  # all heads: the same function
    assert torch.allclose(as_fairseq_loads_it(ranked), as_fairseq_loads_it(path), atol=1e-4)
    rank(path, str(tmp_path / "six.pt"), Settings("6", data=str(folder), sentences=3))
    done = prune(str(tmp_path / "six.pt"), str(tmp_path / "dense.pt"), dense=True)
    assert done.after.units == 6
    assert torch.allclose(
        as_fairseq_loads_it(str(tmp_path / "dense.pt")), as_fairseq_loads_it(str(tmp_path / "six.pt")), atol=1e-4
    )


def test_export(folder, path, tmp_path):
    pytest.importorskip("ctranslate2")
    from dsp_fairseq.export.convert import export

    assert export(path, str(tmp_path / "exported"), data=str(folder)).difference < 1e-4


def test_training_starts_from_it(path, folder):
    """As --finetune-from-model: the options are looked at, and the weights loaded strictly."""
    state = load(path)
    stored = state["args"]
    shape = {name: value for name, value in vars(stored).items() if name.startswith(("encoder_", "decoder_"))}
    new = {
        "save_dir": "nowhere", "restore_file": "checkpoint_last.pt", "finetune_from_model": path,
        "pruning_method": "none", "heads_to_keep": None,
        "task": "translation", "criterion": "cross_entropy", "data": str(folder), "source_lang": stored.source_lang,
        "target_lang": stored.target_lang, "arch": "gated_transformer",
    }  # fmt: skip
    args = Namespace(**{**vars(stored), **shape, **new})
    check_training(args)
    trained = build_model(
        {"model": dict(state["model"]), "args": Namespace(**{**vars(stored), "pruning_method": "none"})}
    )
    words = len(state["model"]["encoder.embed_tokens.weight"])
    assert torch.allclose(logits(trained, words), logits(build_stock_model(state), words), atol=1e-5)


def test_options_that_are_none_are_told_in_one_line(made, tmp_path):
    state = {name: value for name, value in load(str(made / "checkpoint_best.pt")).items() if name != "cfg"}
    state["args"].lr_scheduler = "no such scheduler"
    torch.save(state, tmp_path / "odd.pt")
    with pytest.raises(BadCheckpoint, match="its args are no options of fairseq 0.12.2") as told:
        load(str(tmp_path / "odd.pt"))
    assert len(str(told.value).splitlines()) == 1


@pytest.mark.parametrize("option, value", [("lang_pairs", "de-en,fr-en"), ("langs", ["de", "en"])])
def test_a_multilingual_model_is_refused_where_its_sentences_would_be_misread(made, tmp_path, option, value):
    options = Namespace(**{**SHAPE, "arch": "transformer", "_name": "transformer"})
    state = checkpoint_of(build(TransformerModel, "post-norm"))
    state["cfg"] = {"model": options, "task": {"_name": "many", "data": str(made), option: value}}
    path, out = str(tmp_path / "many.pt"), str(tmp_path / "out")
    torch.save(state, path)
    for command, words in (
        (lambda: rank(path, out, Settings("6", data=str(made))), "--score magnitude"),
        (
            lambda: pytest.importorskip("dsp_fairseq.export.convert").export(path, out, data=str(made)),
            "exported to CTranslate2",
        ),
    ):
        with pytest.raises(BadInput, match=words) as told:
            command()
        assert str(told.value).startswith("--task many --lang") and len(str(told.value).splitlines()) == 1
    rank(path, out, Settings("6", "magnitude"))
