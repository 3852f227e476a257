"""fairseq's translation task, which also steps the logits of a gated model."""

from dataclasses import dataclass

from fairseq.tasks import register_task
from fairseq.tasks.translation import TranslationConfig, TranslationTask
from omegaconf import II

from ..training import PruningTask
from ..training.preflight import TASK


@dataclass
class TranslationPruningConfig(TranslationConfig):
    """The options of ``translation``, and the options that say how many updates the training has."""

    max_epoch: int = II("optimization.max_epoch")
    max_update: int = II("optimization.max_update")
    update_freq: list[int] = II("optimization.update_freq")


@register_task(TASK, dataclass=TranslationPruningConfig)
class TranslationPruningTask(PruningTask, TranslationTask):
    """fairseq's ``translation``, which also steps the logits after each step of the optimiser."""
