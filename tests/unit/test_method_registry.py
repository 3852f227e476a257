"""A pruning method is one class and one registration: --help, messages and training read the rest there."""

from argparse import ArgumentParser, Namespace
from dataclasses import dataclass

import pytest
import torch
from fairseq import options
from tiny_models import HEADS, SHAPE, Task, batch

from dsp_fairseq.families import families
from dsp_fairseq.gates.methods import METHODS, Method, Option, register_method
from dsp_fairseq.gates.methods.option import RATE
from dsp_fairseq.models.gated_transformer import GatedTransformerModel
from dsp_fairseq.options.problems import model_problems


@pytest.fixture(autouse=True)
def soft():
    """The method of the test, whose gates are sigmoids of the logits until update ``soft_updates``."""

    @register_method("soft")
    @dataclass(frozen=True)
    class Soft(Method):
        until: int
        SUMMARY = "sigmoids"
        OPTIONS = (RATE.with_default(0.3), Option("soft_updates", int, "soft: updates of sigmoids", 1, 99, default=5))
        learns = True

        @classmethod
        def build(cls, heads, keep, options):
            return cls(heads, keep, options["soft_updates"])

        def settled(self, update):
            return update >= self.until

        def gates(self, logits, update, noise, limits):
            return torch.sigmoid(logits)

    yield Soft
    del METHODS["soft"]


def problems(**pruning):
    return model_problems(Namespace(**SHAPE, heads_to_keep="7", **pruning))


def test_help_has_the_method_and_its_option(monkeypatch):
    monkeypatch.setenv("COLUMNS", "10000")  # so that no name is broken at its hyphen
    parser = ArgumentParser()
    GatedTransformerModel.add_args(parser)
    text = " ".join(parser.format_help().split())
    assert "none (all heads), soft (sigmoids)" in text
    assert "soft: updates of sigmoids" in text
    assert (
        "0.2 with dsp-published, ste, and dsp with --pruning-mode pipelined; 0.01 with movement; 0.3 with soft)" in text
    )


def test_the_command_line_reads_its_option():
    words = "data --arch gated_transformer --pruning-method soft --soft-updates 7 --heads-to-keep 3 --task translation"
    parser = options.get_training_parser()
    with pytest.raises(ValueError) as refusal:  # the data folder does not exist, and that is all
        options.parse_args_and_arch(parser, words.split())
    assert "data folder data: does not exist" in str(refusal.value)
    assert "--task translation: --pruning-method soft learns its choice" in str(refusal.value)
    assert "soft-updates" not in str(refusal.value)


def test_problems_name_the_method_and_check_its_option():
    assert problems(pruning_method="soft", soft_updates=99) == []
    assert (
        problems(pruning_method="magic") == [f"--pruning-method magic: unknown; choose one of {', '.join(METHODS)}"]
        and list(METHODS)[-1] == "soft"
    )
    assert problems(pruning_method="soft", soft_updates=100) == ["--soft-updates 100: must be 1 to 99"]
    assert problems(pruning_method="soft", soft_updates="few") == ["--soft-updates 'few': must be a whole number"]


def test_options_of_other_methods_are_refused():
    assert problems(pruning_method="soft", uniform_prior=1.0) == [
        "--uniform-prior 1.0: --pruning-method soft does not use it; leave it out, or choose one of dsp"
    ]
    assert problems(pruning_method="dsp", soft_updates=3) == [
        "--soft-updates 3: --pruning-method dsp does not use it; leave it out, or choose one of soft"
    ]


def test_sweeps_train_with_it_in_a_look_of_its_own():
    from dsp_fairseq.sweep.curves import looks
    from dsp_fairseq.sweep.evaluation import DECODING
    from dsp_fairseq.sweep.grid import Grid
    from dsp_fairseq.sweep.values import Subject

    def grid(method):
        given = {"method": method, "heads_to_keep": 3, "seed": 1}
        return Grid.model_validate(given, context=Subject(families()[0], DECODING))

    assert grid(["soft", "dsp"]).method == ("soft", "dsp")
    with pytest.raises(ValueError) as refusal:
        grid("magic")
    assert "soft" in str(refusal.value.errors()[0]["ctx"]["error"].problems)
    names = [*(name for name in METHODS if name != "none"), "gradient"]
    assert len(set(looks(names).values())) == len(names)


def test_a_name_is_taken_once(soft):
    with pytest.raises(ValueError, match="there already is a pruning method soft"):
        register_method("soft")(soft)


@pytest.mark.parametrize("heads", [0, 7, HEADS])
def test_a_model_trains_with_it_and_decodes_exactly_k_heads(heads):
    torch.manual_seed(0)
    model = GatedTransformerModel.build_model(
        Namespace(**SHAPE, pruning_method="soft", soft_updates=3, heads_to_keep=str(heads)), Task()
    )
    start = model.gates.logits.detach().clone()
    for update in range(5):
        model.train()
        model.set_num_updates(update)
        model.gates.begin_update()
        model(**batch())[0].float().logsumexp(-1).sum().backward()
        model.gates.add_sample_size(1)
        model.gates.step()
    assert model.gates.settled and (torch.equal(start, model.gates.logits) == (heads == HEADS))
    model.eval()
    assert int(model.gates.mask().sum()) == heads
    assert sum(block.open_units for block in model.gated_blocks) == heads
