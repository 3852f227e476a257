"""The criterion around the loss: what open heads cost, and what the logs say of the choice."""

import pytest
from tiny_batches import LENGTHS, gated, sample
from tiny_models import Task

from dsp_fairseq.criterions import DspLabelSmoothedCrossEntropyCriterion
from dsp_fairseq.training import criterion as module


@pytest.fixture
def criterion():
    made = DspLabelSmoothedCrossEntropyCriterion(Task(), sentence_avg=False, label_smoothing=0.1)
    made.train()
    return made


def test_open_heads_cost_their_price_for_every_word(criterion):
    model = gated(pruning_method="l0", l0_penalty=0.1)
    loss, words, logged = criterion(model, sample())
    assert words == sum(LENGTHS)
    price = 0.1 * model.gates.expected_heads
    assert logged["penalty"] == pytest.approx(price)
    assert float(loss.detach()) - float(logged["loss"]) == pytest.approx(price * words, rel=1e-4)


def test_methods_without_a_price_add_nothing(criterion):
    loss, _, logged = criterion(gated(pruning_method="ste", heads_to_keep=9), sample())
    assert float(loss.detach()) == float(logged["loss"]) and "penalty" not in logged


def test_the_choice_is_described_once_an_update(criterion, monkeypatch):
    seen = []
    monkeypatch.setattr(module, "scalars", lambda gates: seen.append(gates.update) or {"logits_mean": gates.update})
    model = gated(pruning_method="ste", heads_to_keep=9)
    for update in (1, 2):
        model.set_num_updates(update)
        criterion.train()  # as fairseq's trainer does at the start of an update
        logged = [criterion(model, sample())[2]["logits_mean"] for _ in range(3)]
        assert logged == [update] * 3
    assert seen == [1, 2]


def test_a_final_choice_is_described_no_more(criterion, monkeypatch):
    seen = []
    monkeypatch.setattr(module, "scalars", lambda gates: seen.append(gates.update) or {})
    model = gated(pruning_method="dsp", heads_to_keep=9, search_updates=3, search_warmup_updates=1)
    for update in range(1, 7):
        model.set_num_updates(update)
        criterion.train()
        criterion(model, sample())
    assert seen == [1, 2, 3]
