"""Language models in CTranslate2: exact for every shape, or refused in a line."""

import pytest
import torch
from tiny_language_models import ALL_ATTENTION, TRANSFORMER, Task, build, checkpoint_of, options

from dsp_fairseq.errors import BadInput, Failed

pytest.importorskip("ctranslate2")

from dsp_fairseq.export.check import TOLERANCE
from dsp_fairseq.export.convert import export
from dsp_fairseq.families.transformer_lm.export import runtime


@pytest.fixture
def data(tmp_path):
    (tmp_path / "data").mkdir()
    Task().source_dictionary.save(str(tmp_path / "data" / "dict.txt"))
    return str(tmp_path / "data")


def exported(tmp_path, data, args, mask=None, **more):
    torch.save(checkpoint_of(build(args.arch, **vars(args)), args, mask), tmp_path / "model.pt")
    return export(str(tmp_path / "model.pt"), str(tmp_path / "out"), data=data, **more)


@pytest.mark.parametrize("mask", [[1, 0, 1, 0, 1, 0], [0, 0, 0, 1, 1, 1], [0] * 6])
@pytest.mark.parametrize("shape", [{}, {"decoder_normalize_before": True, "decoder_learned_pos": True}])
def test_it_scores_texts_as_fairseq_does(tmp_path, data, mask, shape):
    done = exported(tmp_path, data, options(TRANSFORMER, **shape), mask)
    assert done.difference < TOLERANCE and done.after.units == sum(mask)
    assert "generate_batch" in str(done) and "'</s>'" in str(done)


def test_scaled_outputs_and_hidden_units_of_any_width(tmp_path, data):
    args = options(TRANSFORMER, pruning_method="uniform", heads_to_keep="3", output_scaling="on", ffn_group=8,
                   ffn_to_keep="8", share_decoder_input_output_embed=True)  # fmt: skip
    done = exported(tmp_path, data, args, quantization="int8")
    assert done.difference < TOLERANCE and "8 of 64" in str(done)


@pytest.mark.parametrize(
    "model, shape, line",
    [
        (ALL_ATTENTION, {}, "an all_attention_lm cannot be exported to CTranslate2"),
        (TRANSFORMER, {"adaptive_softmax_cutoff": "10,20"}, "--adaptive-softmax-cutoff 10,20: cannot be exported"),
        (TRANSFORMER, {"decoder_input_dim": 12}, "--decoder-input-dim 12: cannot be exported"),
    ],
)
def test_what_it_cannot_take_is_refused(tmp_path, data, model, shape, line):
    with pytest.raises(BadInput, match=line):
        exported(tmp_path, data, options(model, **shape))


def test_wrong_scores_are_noticed(tmp_path, data, monkeypatch):
    scores = runtime.fairseq_scores
    monkeypatch.setattr(runtime, "fairseq_scores", lambda *given: [each + 1e-2 for each in scores(*given)])
    with pytest.raises(Failed, match="differ from fairseq's"):
        exported(tmp_path, data, options(TRANSFORMER))
    assert not (tmp_path / "out").exists()
