"""The criterion of gated models: label-smoothed cross entropy, perhaps with a teacher, and the gates in the logs."""

from dataclasses import dataclass

from fairseq.criterions import register_criterion
from fairseq.criterions.label_smoothed_cross_entropy import (
    LabelSmoothedCrossEntropyCriterion,
    LabelSmoothedCrossEntropyCriterionConfig,
)

from ..families.transformer.words import CRITERION
from ..training import PruningCriterion
from .distillation import Distillation, DistillationConfig
from .label_smoothed_loss import label_smoothed_loss


@dataclass
class DspLabelSmoothedCrossEntropyConfig(DistillationConfig, LabelSmoothedCrossEntropyCriterionConfig):
    """As ``label_smoothed_cross_entropy``, plus a teacher."""


@register_criterion(CRITERION, dataclass=DspLabelSmoothedCrossEntropyConfig)
class DspLabelSmoothedCrossEntropyCriterion(Distillation, PruningCriterion, LabelSmoothedCrossEntropyCriterion):
    """fairseq's label-smoothed loss with a faster backward pass, perhaps with a teacher, and the gates in the logs."""

    name, stock_name = CRITERION, "label_smoothed_cross_entropy"

    def __init__(
        self,
        task,
        sentence_avg,
        label_smoothing,
        ignore_prefix_size=0,
        report_accuracy=False,
        teacher=None,
        distillation_weight=None,
        distillation_temperature=None,
    ):
        super().__init__(task, sentence_avg, label_smoothing, ignore_prefix_size, report_accuracy)
        self.take_teacher(teacher, distillation_weight, distillation_temperature)

    def compute_loss(self, model, net_output, sample, reduce=True):
        if not reduce:
            return super().compute_loss(model, net_output, sample, reduce)
        target = model.get_targets(sample, net_output)[:, self.ignore_prefix_size :].reshape(-1)  # [tokens]
        logits = self._flat(net_output[0])
        if not self.is_taught(model):
            return label_smoothed_loss(logits, target, self.eps, self.padding_idx)
        taught = self.teacher.logits(sample["net_input"], next(model.parameters()))
        return self.taught_loss(model, logits, self._flat(taught), target, self.eps)

    def _flat(self, logits):
        """[batch, target, types] -> [tokens, types], without the ignored prefix."""
        return logits[:, self.ignore_prefix_size :].reshape(-1, logits.size(-1))
