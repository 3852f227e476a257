"""What is wrong with a checkpoint is told at once, a line each, and honest ones of every kind pass."""

import inspect
from argparse import Namespace

import pytest
import torch
from fairseq.models import build_model
from fairseq.models.transformer import TransformerModel
from omegaconf import OmegaConf
from tiny_checkpoints import REST, checkpoint_of, masked_checkpoint, without_removed_heads
from tiny_models import SHAPE, VARIANTS, Task, build

from dsp_fairseq.checkpoints.building import build_stock_model
from dsp_fairseq.checkpoints.reading import load, model_options
from dsp_fairseq.checkpoints.schema import check
from dsp_fairseq.errors import BadInput
from dsp_fairseq.models.gated_transformer import GatedTransformerModel
from dsp_fairseq_startup.checkpoints import unfit
from dsp_fairseq_startup.errors import BadCheckpoint


def lines(state):
    with pytest.raises(BadCheckpoint) as refusal:
        check("x.pt", state)
    told = str(refusal.value).splitlines()
    assert all(line.startswith("checkpoint x.pt: ") for line in told)
    return [line.partition(": ")[2] for line in told]


@pytest.mark.parametrize("variant", VARIANTS)
def test_honest_ones_pass(variant):
    masked = masked_checkpoint(variant)
    check("masked.pt", masked)
    check("removed.pt", without_removed_heads(masked))
    stock = build(TransformerModel, variant).state_dict()
    options = Namespace(**{**SHAPE, **VARIANTS[variant], "arch": "transformer"})
    check("stock.pt", {"cfg": {"model": options}, "model": stock, **REST})
    check("args.pt", {"args": options, "model": stock, **REST})


def test_a_width_may_be_text_as_fairseq_s_parser_leaves_it():
    for masked in (masked_checkpoint("projected"), without_removed_heads(masked_checkpoint("projected"))):
        masked["cfg"]["model"].decoder_output_dim = "12"
        check("x.pt", masked)
    build(GatedTransformerModel, "projected", pruning_method="none", decoder_output_dim="12")
    state = masked_checkpoint("projected")
    state["cfg"]["model"].decoder_output_dim = "wide"
    assert lines(state) == ["--decoder-output-dim 'wide': must be a whole number"]


def test_a_stock_model_may_be_of_a_yaml_file_which_leaves_most_to_fairseq():
    said = {name: value for name, value in SHAPE.items() if name != "dropout"}
    options = OmegaConf.create({"_name": "transformer", **said})
    model = build_model(options, Task())  # writes None into what is not said
    assert options.activation_fn is None
    state = {"cfg": {"model": OmegaConf.to_container(options)}, "model": model.state_dict(), **REST}
    check("yaml.pt", state)
    again = build_stock_model(state)
    assert (
        model_options(state).activation_fn == "relu"
        and again.decoder.output_embed_dim == model.decoder.output_embed_dim
    )


def test_a_stock_model_may_be_one_that_has_no_gated_counterpart():
    options = {**SHAPE, "adaptive_softmax_cutoff": [10, 20], "arch": "transformer"}
    adaptive = build(TransformerModel, "post-norm", adaptive_softmax_cutoff="10,20").state_dict()
    check("stock.pt", {"cfg": {"model": Namespace(**options)}, "model": adaptive, **REST})
    with pytest.raises(ValueError, match="--adaptive-softmax-cutoff .*not supported by gated_transformer"):
        build(GatedTransformerModel, "post-norm", pruning_method="none", adaptive_softmax_cutoff=[10, 20])


@pytest.mark.parametrize(
    "method",
    [
        {"pruning_method": "dsp", "heads_to_keep": "4", "search_updates": 10},
        {"pruning_method": "dsp-published", "heads_to_keep": "encoder.self=1,decoder.self=2,decoder.cross=3"},
        {"pruning_method": "ste", "heads_to_keep": "4", "pruning_mode": "pipelined"},
        {"pruning_method": "l0", "l0_penalty": 0.01},
        {"pruning_method": "dsp", "heads_to_keep_range": "2:6", "min_heads_per_block": 0},
    ],
)
def test_every_method_passes(method):
    model = build(GatedTransformerModel, "post-norm", **method)
    check("x.pt", checkpoint_of(model, **method))
    half = checkpoint_of(model.half(), **method)
    check("half.pt", half)
    plain = {**half, "cfg": OmegaConf.create({"model": vars(half["cfg"]["model"])})}  # as a YAML file's training has it
    check("yaml.pt", plain)


def test_a_number_that_fairseq_never_sets_may_be_anything():
    state = masked_checkpoint()
    state["model"]["encoder.embed_positions._float_tensor"] = torch.tensor([float("nan")])
    check("x.pt", state)


def test_everything_is_told_at_once():
    state = masked_checkpoint()
    options, weights = state["cfg"]["model"], state["model"]
    options.encoder_layers, options.dropout, options.activation_fn = "4", float("nan"), "nonsense"
    options.encoder_xformers_att_config = 3
    del options.decoder_embed_dim
    weights["gates.logits"][3] = float("nan")
    weights["encoder.layers.0.fc1.bias"][0] = float("inf")
    weights["decoder.layers.0.fc1.bias"] = torch.arange(16)
    state["optimizer_history"] = []
    state["extra_state"] = 3
    told = lines(state)
    for words in (
        "--encoder-layers '4': must be a whole number",
        "--dropout nan: must be 0 to 1",
        "--activation-fn 'nonsense': must be one of relu",
        "--encoder-xformers-att-config 3: must be text",
        "--decoder-embed-dim is missing",
        "NaN or infinite",
        "decoder.layers.0.fc1.bias is no floating-point numbers",
        "optimizer_history is []",
        "extra_state is 3",
    ):
        assert [line for line in told if words in line], (words, told)
    assert len(told) == 9


def test_weights_that_the_options_do_not_ask_for():
    state = masked_checkpoint()
    weights = state["model"]
    del weights["encoder.layers.0.fc1.bias"], weights["encoder.layers.1.fc1.bias"]
    weights["x\ny"] = torch.zeros(1)
    assert lines(state) == [
        "encoder.layers.0.fc1.bias is missing, and 1 more are",
        "'x\\ny' is no weight of this model",
    ]
    state = masked_checkpoint()
    state["model"]["gates.logits"] = torch.zeros(29, dtype=torch.float64)
    assert lines(state) == ["gates.logits is [29], its options say [30]"]


def test_nothing_is_built_for_a_number_of_layers_that_is_not_there(monkeypatch):
    state = masked_checkpoint()
    monkeypatch.setattr(GatedTransformerModel, "build_model", lambda *arguments: pytest.fail("built"))
    state["cfg"]["model"].decoder_layers = 900
    state["cfg"]["model"].encoder_ffn_embed_dim = 10**6
    assert lines(state) == [
        "--decoder-layers 900: it has weights of 3",
        "--encoder-ffn-embed-dim 1000000: no weight in it is so large",
    ]


@pytest.mark.parametrize("kept", [{"encoder.self.0": [0]}, "x", [], {3: [0]}])
def test_heads_left_in_other_blocks(kept):
    state = masked_checkpoint()
    state["cfg"]["model"].kept_heads = kept
    [line] = lines(state)
    assert "kept_heads" in line and "each of the 8 blocks" in line


@pytest.mark.parametrize("heads", [[3], [-1], [0, 0], [1, 0], "0", 0, None, ["0"], [True]])
def test_heads_left_that_there_never_were(heads):
    state = without_removed_heads(masked_checkpoint())
    state["cfg"]["model"].kept_heads["encoder.self.0"] = heads
    [line] = lines(state)
    assert "kept_heads of encoder.self.0" in line and "0 to 2" in line


def test_options_of_a_command_line_are_looked_at_too():
    """Such as those of --model-overrides."""
    with pytest.raises(ValueError, match="--dropout 'x': must be a number"):
        build(GatedTransformerModel, "post-norm", pruning_method="none", dropout="x")


def test_other_models_are_none_of_our_business(tmp_path):
    weights = {"w": torch.tensor([float("nan")])}
    state = {"cfg": {"model": Namespace(arch="lstm", dropout="x")}, "model": weights, **REST}
    check("x.pt", state)
    torch.save({**state, "cfg": None}, tmp_path / "x.pt")
    with pytest.raises(BadCheckpoint, match="has no cfg in it"):
        load(str(tmp_path / "x.pt"))


class Trainer:
    """Fails as fairseq's does, in one of the many places where it takes a state as it is."""

    def __init__(self, error):
        self.error = error

    def load_checkpoint(self, filename, reset_optimizer=False):
        raise self.error


@pytest.mark.parametrize("error", [KeyError("param_groups"), ValueError("of groups"), AssertionError("Optimizer")])
def test_a_state_that_a_training_cannot_take_over_is_told(error):
    with pytest.raises(BadCheckpoint, match=f"checkpoint x.pt: .*{type(error).__name__}.*--finetune-from-model x.pt"):
        unfit.name_the_training(Trainer.load_checkpoint, Trainer(error), "x.pt", reset_optimizer=True)


@pytest.mark.parametrize("error", [BadInput("--heads-to-keep 9: too many"), FileNotFoundError(2, "No such file")])
def test_what_is_told_in_its_own_words_stays(error):
    with pytest.raises(type(error)) as raised:
        unfit.name_the_training(Trainer.load_checkpoint, Trainer(error), "x.pt")
    assert raised.value is error


def test_fairseq_s_trainer_is_mended():
    from fairseq.trainer import Trainer as real

    around = inspect.getclosurevars(real.load_checkpoint).nonlocals
    assert around["replacement"] is unfit.name_the_training


def test_a_configuration_within_itself_is_told():
    state = masked_checkpoint()
    state["cfg"]["task"] = {"x": []}
    state["cfg"]["task"]["x"] += [state["cfg"]["task"]["x"]] * 3
    [line] = lines(state)
    assert "more than 20 levels" in line
