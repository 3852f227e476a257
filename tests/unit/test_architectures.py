"""Every command on every shape of model that the stock options can make, or one line that says why not."""

from argparse import Namespace

import pytest
import tiny_models
import torch
from fairseq.dataclass.configs import FairseqConfig
from fairseq.models.transformer import TransformerModel
from omegaconf import OmegaConf
from tiny_checkpoints import checkpoint_of
from tiny_models import build, translations

from dsp_fairseq.bench.run import bench
from dsp_fairseq.bench.settings import Decoding, Settings
from dsp_fairseq.checkpoints.average import average
from dsp_fairseq.checkpoints.building import build_model, build_stock_model
from dsp_fairseq.checkpoints.prune import prune
from dsp_fairseq.checkpoints.reading import kept_units, load
from dsp_fairseq.importance.run import rank
from dsp_fairseq.importance.settings import Settings as Ranking
from dsp_fairseq.models.gated_transformer import GatedTransformerModel
from dsp_fairseq.options.problems import model_problems
from dsp_fairseq.report.report import as_json, as_text, report_of

K = 9
SHAPES = {
    "LayerDrop": {"encoder_layerdrop": 0.5, "decoder_layerdrop": 0.5, "no_token_positional_embeddings": True},
    "few learned positions": {
        "max_source_positions": 8,
        "max_target_positions": 6,
        "encoder_learned_pos": True,
        "decoder_learned_pos": True,
    },
    "one target position": {"max_source_positions": 3, "max_target_positions": 1},
    "no scaling, no last norm": {
        "no_scale_embedding": True,
        "decoder_normalize_before": True,
        "no_decoder_final_norm": True,
    },
    "projected, pipelined": dict(
        **tiny_models.VARIANTS["projected"], pruning_method="dsp", pruning_mode="pipelined", search_updates=10
    ),
    "a kind without heads": {"heads_to_keep": "encoder.self=0,decoder.self=5,decoder.cross=4"},
}


@pytest.fixture(params=SHAPES)
def folder(request, tmp_path, monkeypatch):
    """A folder with a checkpoint, model.pt, and what it was trained on."""
    options = {"pruning_method": "uniform", "heads_to_keep": str(K), **SHAPES[request.param]}
    monkeypatch.setitem(tiny_models.VARIANTS, "x", options)
    state = checkpoint_of(build(GatedTransformerModel, "x"), **options)
    state["cfg"]["model"]._name = "gated_transformer"
    task = {"_name": "translation", "data": str(tmp_path), "source_lang": "de", "target_lang": "en"}
    state["cfg"].update(task=task, criterion={}, common={})
    torch.save(state, tmp_path / "model.pt")
    for side in ("de", "en"):
        (tmp_path / f"dict.{side}.txt").write_text("".join(f"w{i} 1\n" for i in range(40)))
    (tmp_path / "text").write_text("w1 w2\nw4\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_command_does_its_job(folder):
    kept = int(kept_units("model.pt").mask.sum())
    prune("model.pt", "small.pt")
    prune("model.pt", "half.pt", half=True)
    prune("model.pt", "dense.pt", dense=True)
    prune("small.pt", "dense-of-small.pt", dense=True)
    average(["model.pt", "model.pt"], "mean.pt")
    rank("model.pt", "ranked.pt", Ranking(str(min(3, kept)), "magnitude"))
    for name in ("small.pt", "half.pt", "mean.pt"):
        assert sum(attention.open_units for attention in build_model(load(name)).gated_blocks) == kept
        assert as_text(report_of(name)) and as_json(report_of(name))
    own = sum(parameter.numel() for parameter in build_model(load("small.pt")).parameters())
    assert sum(report_of("small.pt").parameters.values()) == own
    assert load("dense.pt")["model"].keys() == load("dense-of-small.pt")["model"].keys()
    assert isinstance(build_stock_model(load("dense.pt")), TransformerModel)


def test_it_decodes_as_stock_fairseq_and_as_its_export(folder):
    """Bench refuses variants that translate differently."""
    if load("model.pt")["cfg"]["model"].max_target_positions < 3:
        pytest.skip("fairseq's beam search wants two positions")
    settings = Settings(
        Decoding(batch_size=2, beam=2, max_len_b=4), rounds=1, sentences=2, text="text", data=".", memory=False
    )
    bench(["model.pt"], settings, [])
    gated = build(GatedTransformerModel, "x")  # in training mode, as fairseq loads it
    gated.prepare_for_inference_(OmegaConf.structured(FairseqConfig()))
    assert translations([gated], beam=2, max_len_b=3)


IMPOSSIBLE = {
    "no encoder": ({"encoder_layers": 0}, "--encoder-layers 0: must be 1 to"),
    "no decoder": ({"decoder_layers": 0}, "--decoder-layers 0: must be 1 to"),
    "no feed-forward": ({"decoder_ffn_embed_dim": 0}, "--decoder-ffn-embed-dim 0: must be 1 to"),
    "heads that do not divide": ({"encoder_attention_heads": 5}, "--encoder-attention-heads 5: must divide"),
    "shared output of another width": (
        {"share_decoder_input_output_embed": True, "decoder_output_dim": 12},
        "--decoder-output-dim 12: --share-decoder-input-output-embed needs",
    ),
    "tied output of another width": (
        {"tie_adaptive_weights": True, "decoder_output_dim": 12},
        "--decoder-output-dim 12: --tie-adaptive-weights needs",
    ),
    "shared embeddings of two widths": (
        {"share_all_embeddings": True, "decoder_embed_dim": 16},
        "--share-all-embeddings",
    ),
    "swish": ({"activation_fn": "swish"}, "--activation-fn 'swish': must be one of"),
}


@pytest.mark.parametrize("options, words", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_what_cannot_be_computed_is_refused_before_anything_is_built(options, words):
    args = Namespace(**{**tiny_models.SHAPE, "pruning_method": "none", **options})
    [problem] = model_problems(args)
    assert problem.startswith(words)
