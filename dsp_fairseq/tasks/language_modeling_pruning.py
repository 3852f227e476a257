"""The task ``language_modeling_pruning``: language modelling that also steps the logits of a gated model."""

from dataclasses import dataclass

from fairseq.tasks import register_task
from fairseq.tasks.language_modeling import LanguageModelingConfig, LanguageModelingTask
from omegaconf import II

from ..families.transformer_lm.words import TASK
from ..training import PruningTask


@dataclass
class LanguageModelingPruningConfig(LanguageModelingConfig):
    """The configuration of ``language_modeling`` plus the options that decide how many updates a training has."""

    max_epoch: int = II("optimization.max_epoch")
    max_update: int = II("optimization.max_update")
    update_freq: list[int] = II("optimization.update_freq")
    train_subset: str = II("dataset.train_subset")


@register_task(TASK, dataclass=LanguageModelingPruningConfig)
class LanguageModelingPruningTask(PruningTask, LanguageModelingTask):
    """The task ``language_modeling`` with a step of the logits after each step of the weights."""

    def __init__(self, args, dictionary, output_dictionary=None, targets=None):
        super().__init__(args, dictionary, output_dictionary, targets)
        self.cfg = args  # fairseq's older tasks have their options in args, the mixin reads cfg
