"""The task ``translation_pruning``: fairseq's translation task, which also steps the logits of a gated model."""

from dataclasses import dataclass

from fairseq.tasks import register_task
from fairseq.tasks.translation import TranslationConfig, TranslationTask
from omegaconf import II

from ..families.transformer.words import TASK
from ..training import PruningTask


@dataclass
class TranslationPruningConfig(TranslationConfig):
    """The configuration of ``translation`` plus the options that decide how many updates a training has."""

    max_epoch: int = II("optimization.max_epoch")
    max_update: int = II("optimization.max_update")
    update_freq: list[int] = II("optimization.update_freq")


@register_task(TASK, dataclass=TranslationPruningConfig)
class TranslationPruningTask(PruningTask, TranslationTask):
    """The task ``translation`` with a step of the logits after each step of the weights."""
