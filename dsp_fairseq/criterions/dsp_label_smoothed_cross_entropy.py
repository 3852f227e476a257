"""The criterion of gated models: label-smoothed cross entropy, perhaps with a teacher, and the gates in the logs."""

import math
from dataclasses import dataclass, field, fields
from typing import Optional

from fairseq import metrics
from fairseq.criterions import register_criterion
from fairseq.criterions.label_smoothed_cross_entropy import (
    LabelSmoothedCrossEntropyCriterion,
    LabelSmoothedCrossEntropyCriterionConfig,
)

from ..families.transformer.words import CRITERION
from ..gates.methods import Unpruned
from ..training import PruningCriterion
from ..training.teacher import Teacher
from .distillation_loss import distillation_loss
from .label_smoothed_loss import label_smoothed_loss

DISTILLATION = "distillation"
JOINT_WEIGHT, TUNING_WEIGHT, TEMPERATURE = 0.5, 0.9, 2.0


@dataclass
class DspLabelSmoothedCrossEntropyConfig(LabelSmoothedCrossEntropyCriterionConfig):
    """As ``label_smoothed_cross_entropy``, plus a teacher."""

    teacher: Optional[str] = field(
        default=None,
        metadata={
            "help": "checkpoint whose distribution over the words is learned too: of a gated or a stock transformer, "
            "before or after prune, with the dictionaries of this training. The loss is (1 - a) times the "
            "label-smoothed cross entropy plus a T^2 KL(teacher || student) per target token; at validation it is the "
            "cross entropy alone (default: no teacher)"
        },
    )
    distillation_weight: Optional[float] = field(
        default=None,
        metadata={
            "help": "a, 0 to 1, weight of the teacher in the loss (default: 0.9 with --pruning-method none, as in "
            "training on after prune, and with movement; else 0.5)"
        },
    )
    distillation_temperature: Optional[float] = field(
        default=None,
        metadata={"help": "T, divides the logits of teacher and student in the divergence (default: 2)"},
    )


_OF_FAIRSEQ = {known.name for known in fields(LabelSmoothedCrossEntropyCriterionConfig)}
OWN_OPTIONS = [known for known in fields(DspLabelSmoothedCrossEntropyConfig) if known.name not in _OF_FAIRSEQ]


@register_criterion(CRITERION, dataclass=DspLabelSmoothedCrossEntropyConfig)
class DspLabelSmoothedCrossEntropyCriterion(PruningCriterion, LabelSmoothedCrossEntropyCriterion):
    """fairseq's label-smoothed loss with a faster backward pass, the divergence from a teacher, the logs of the gates.

    Logs ``distillation`` in training with a teacher: T^2 KL per target token in bits, as ``nll_loss`` is.
    """

    name, stock_name = CRITERION, "label_smoothed_cross_entropy"
    _divergence = None  # of the batch at hand, summed over its target tokens, in nats

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
        self.teacher = None if teacher is None else Teacher(teacher)
        self.weight = distillation_weight
        self.temperature = TEMPERATURE if distillation_temperature is None else distillation_temperature

    def forward(self, model, sample, reduce=True):
        self._divergence = None
        loss, sample_size, logging_output = super().forward(model, sample, reduce)
        if self._divergence is not None:
            logging_output[DISTILLATION] = self._divergence
        return loss, sample_size, logging_output

    def compute_loss(self, model, net_output, sample, reduce=True):
        if not reduce:
            return super().compute_loss(model, net_output, sample, reduce)
        target = model.get_targets(sample, net_output)[:, self.ignore_prefix_size :].reshape(-1)  # [tokens]
        logits = self._flat(net_output[0])
        if self.teacher is None or not model.training:
            return label_smoothed_loss(logits, target, self.eps, self.padding_idx)
        taught = self._flat(self.teacher.logits(sample["net_input"], next(model.parameters())))
        loss, nll, self._divergence = distillation_loss(
            logits, taught, target, self.padding_idx, self._weight_for(model), self.temperature, self.eps
        )
        return loss, nll

    def _flat(self, logits):
        """[batch, target, types] -> [tokens, types], without the ignored prefix."""
        return logits[:, self.ignore_prefix_size :].reshape(-1, logits.size(-1))

    def _weight_for(self, model) -> float:
        if self.weight is not None:
            return self.weight
        method = model.gates.method
        tuning = method.scores_weights or isinstance(method, Unpruned)
        return TUNING_WEIGHT if tuning else JOINT_WEIGHT

    @classmethod
    def reduce_metrics(cls, logging_outputs):
        super().reduce_metrics(logging_outputs)
        tokens = sum(log.get("ntokens", 0) for log in logging_outputs if DISTILLATION in log)
        if tokens:
            divergence = sum(log.get(DISTILLATION, 0) for log in logging_outputs)
            metrics.log_scalar(DISTILLATION, divergence / tokens / math.log(2), tokens, round=3)
