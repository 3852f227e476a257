"""The task between fairseq's trainer and the gates: a step of the logits for each step of the weights."""

from argparse import Namespace

import pytest
import torch
from fairseq.optim.adam import FairseqAdam, FairseqAdamConfig
from fairseq.optim.amp_optimizer import AMPOptimizer
from omegaconf import OmegaConf
from tiny_models import Task

from dsp_fairseq.tasks.translation_pruning import TranslationPruningTask


class Gates:
    """Counts what it is told."""

    def __init__(self):
        self.told = []

    def begin_update(self):
        self.told.append("forget")

    def step(self, loss_scale, all_reduce):
        self.told.append(loss_scale)


@pytest.fixture
def task():
    words = Task().source_dictionary
    made = TranslationPruningTask(Namespace(), words, words)
    made._gates = Gates()
    return made


def amp(weight):
    """fairseq's optimiser of --amp, with a scaler that works without a GPU too."""
    options = OmegaConf.create({"optimizer": None, "common": {"fp16_init_scale": 4, "min_loss_scale": 1e-4}})
    adam = FairseqAdam(OmegaConf.structured(FairseqAdamConfig(lr=[0.1], tpu=False)), [weight])
    optimizer = AMPOptimizer(options, [weight], adam)
    optimizer._grad_scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    return optimizer


def test_the_logits_step_when_and_only_when_the_weights_do(task):
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = amp(weight)
    steps = []
    for factor in (1.0, float("inf"), 1.0, float("nan"), 1.0):
        before = float(weight)
        optimizer.zero_grad()
        optimizer.backward((weight * factor).sum())
        optimizer.clip_grad_norm(0.0)
        task.optimizer_step(optimizer, None, 0)
        steps.append(float(weight) != before)
    assert steps == [True, False, True, False, True]
    # an overflow halves the scale; the logits' gradient has that of before the step
    assert task._gates.told == [4.0, "forget", 2.0, "forget", 1.0]


def test_without_a_scaler_every_step_is_one_of_the_logits(task):
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = FairseqAdam(OmegaConf.structured(FairseqAdamConfig(lr=[0.1], tpu=False)), [weight])
    for _ in range(2):
        optimizer.backward(weight.sum())
        task.optimizer_step(optimizer, None, 0)
    assert task._gates.told == [1.0, 1.0]
