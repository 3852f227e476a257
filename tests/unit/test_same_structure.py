"""A training starts from weights of the very same model, or is refused in one line."""

from argparse import Namespace

import pytest
import torch
from fairseq import options
from fairseq.data import Dictionary
from fairseq.models.transformer import TransformerModel
from tiny_checkpoints import REST, masked_checkpoint
from tiny_models import Task

from dsp_fairseq.config import SAME_PRUNING
from dsp_fairseq.errors import BadInput
from dsp_fairseq.families.transformer.structure import structure_problems
from dsp_fairseq.training.preflight import _checkpoint_problems

STORED = {
    "arch": "transformer", "encoder_layers": 2, "encoder_attention_heads": 8, "encoder_embed_dim": 16,
    "encoder_ffn_embed_dim": 32, "encoder_normalize_before": False, "encoder_learned_pos": True,
    "decoder_layers": 2, "decoder_attention_heads": 4, "decoder_embed_dim": 16, "decoder_ffn_embed_dim": 32,
    "decoder_normalize_before": False, "decoder_learned_pos": False, "decoder_input_dim": 16, "decoder_output_dim": 16,
    "share_all_embeddings": True, "share_decoder_input_output_embed": False, "no_token_positional_embeddings": False,
    "layernorm_embedding": False, "activation_fn": "relu", "no_scale_embedding": False,
    "max_source_positions": 64, "max_target_positions": 64,
}  # fmt: skip


def problems(stored=STORED, **changed):
    return structure_problems(Namespace(**{**STORED, **changed}), "model.pt", Namespace(**stored))


SAME = [
    {}, {"dropout": 0.3}, {"layernorm_embedding": None}, {"max_target_positions": 99},
    {"decoder_output_dim": "16"}, {"share_decoder_input_output_embed": True},  # which --share-all-embeddings implies
]  # fmt: skip


@pytest.mark.parametrize("changed", SAME)
def test_the_same_model_passes(changed):
    assert problems(**changed) == []


@pytest.mark.parametrize("option", sorted({*STORED} - {"arch", "max_target_positions"}))
def test_every_option_of_the_structure_must_be_the_same(option):
    other = {bool: not STORED[option], int: 3, str: "gelu"}[type(STORED[option])]
    stored = {**STORED, "share_all_embeddings": option == "share_all_embeddings"}
    [line] = problems(stored, **{"share_all_embeddings": False, option: other})
    assert line.startswith(f"--{option.replace('_', '-')} {other} (there {STORED[option]})") and "model.pt" in line


def test_all_differences_stand_in_one_line():
    [line] = problems(encoder_attention_heads=4, decoder_attention_heads=8, activation_fn="gelu")
    assert "--encoder-attention-heads 4 (there 8), --decoder-attention-heads 8 (there 4), --activation-fn gelu" in line


def test_options_that_an_older_fairseq_did_not_store_are_not_compared():
    older = {name: value for name, value in STORED.items() if name not in ("layernorm_embedding", "no_scale_embedding")}
    assert problems(older, layernorm_embedding=True) == []


def test_another_model_is_named():
    [line] = problems({"arch": "lstm"}, arch="gated_transformer")
    assert "model.pt: is of lstm" in line and "gated_transformer" in line


@pytest.mark.parametrize("how", ["--finetune-from-model", "--restore-file"])
def test_a_command_line_is_refused_before_anything_is_built(how, tmp_path):
    for side in ("de", "en"):
        Dictionary().save(str(tmp_path / f"dict.{side}.txt"))
    path = str(tmp_path / "model.pt")
    model = TransformerModel.build_model(Namespace(**STORED), Task())
    torch.save({"args": Namespace(**STORED), "model": model.state_dict(), **REST}, path)
    words = f"{tmp_path} --arch gated_transformer --pruning-method uniform --heads-to-keep 999"
    words += f" --save-dir {tmp_path} {how} {path}"
    with pytest.raises(BadInput) as refusal:
        options.parse_args_and_arch(options.get_training_parser(), words.split())
    differences, count = str(refusal.value).splitlines()
    assert differences.startswith("--encoder-layers 6 (there 2), --encoder-embed-dim 512 (there 16), ")
    assert count.startswith("--heads-to-keep 999: ")


def test_another_pruning_than_that_of_a_training_under_way_is_one_line(tmp_path):
    path = str(tmp_path / "last.pt")
    then = {
        **vars(masked_checkpoint()["cfg"]["model"]),
        "pruning_method": "dsp",
        "heads_to_keep": 6,
        "search_updates": None,
    }
    torch.save({**masked_checkpoint(), "cfg": {"model": Namespace(**then)}}, path)
    now = {"pruning_method": "none", "heads_to_keep": None, "search_updates": 9, "restore_file": path}
    [line] = _checkpoint_problems(Namespace(**{**dict.fromkeys(SAME_PRUNING), **now}))
    differences = (
        "--pruning-method none (there dsp), --heads-to-keep not given (there 6), --search-updates 9 (there not given)"
    )
    assert line.startswith(f"{differences}: {path} was made with another choice of heads")
    [line] = _checkpoint_problems(Namespace(**{**dict.fromkeys(SAME_PRUNING), **now, "ffn_to_keep": "64"}))
    assert f"{path} was made with another choice of units" in line
