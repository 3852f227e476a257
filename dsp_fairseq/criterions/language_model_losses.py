"""The criterions of gated language models: fairseq's cross entropy and its adaptive loss, and the gates in the logs."""

from dataclasses import dataclass

from fairseq import metrics, utils
from fairseq.criterions import register_criterion
from fairseq.criterions.adaptive_loss import AdaptiveLoss, AdaptiveLossConfig
from fairseq.criterions.cross_entropy import CrossEntropyCriterion, CrossEntropyCriterionConfig

from ..families.transformer_lm.words import CRITERIONS
from ..training import PruningCriterion
from .distillation import Distillation, DistillationConfig, log_per_token

_CROSS_ENTROPY, _ADAPTIVE = CRITERIONS


@dataclass
class DspCrossEntropyConfig(DistillationConfig, CrossEntropyCriterionConfig):
    """As ``cross_entropy``, plus a teacher."""


@register_criterion(_CROSS_ENTROPY, dataclass=DspCrossEntropyConfig)
class DspCrossEntropyCriterion(Distillation, PruningCriterion, CrossEntropyCriterion):
    """``cross_entropy`` for a gated model, perhaps with a teacher; then ``nll_loss`` and ``ppl`` are without it."""

    name, stock_name = _CROSS_ENTROPY, "cross_entropy"

    def __init__(self, task, sentence_avg, teacher=None, distillation_weight=None, distillation_temperature=None):
        super().__init__(task, sentence_avg)
        self.take_teacher(teacher, distillation_weight, distillation_temperature)

    def compute_loss(self, model, net_output, sample, reduce=True):
        if not reduce or not self.is_taught(model):
            return super().compute_loss(model, net_output, sample, reduce)
        # [batch, words, types] -> [tokens, types]
        taught = self.teacher.logits(sample["net_input"], next(model.parameters())).flatten(0, 1)
        target = model.get_targets(sample, net_output).reshape(-1)  # [tokens]
        return self.taught_loss(model, net_output[0].flatten(0, 1), taught, target)

    @classmethod
    def reduce_metrics(cls, logging_outputs):
        taught = [log for log in logging_outputs if "nll_loss" in log]
        log_per_token("nll_loss", taught)
        if taught:  # before fairseq, which would derive it from the loss; the first one counts
            metrics.log_derived("ppl", lambda meters: utils.get_perplexity(meters["nll_loss"].avg))
        super().reduce_metrics(logging_outputs)


@dataclass
class DspAdaptiveLossConfig(DistillationConfig, AdaptiveLossConfig):
    """As ``adaptive_loss``; a teacher is refused with the reason when a training is checked."""


@register_criterion(_ADAPTIVE, dataclass=DspAdaptiveLossConfig)
class DspAdaptiveLoss(PruningCriterion, AdaptiveLoss):
    """``adaptive_loss``, for an adaptive softmax, for a gated model; it needs ``--ddp-backend legacy_ddp``."""

    name, stock_name = _ADAPTIVE, "adaptive_loss"
