"""The mixin for criterions with a teacher, and its options."""

import math
from dataclasses import dataclass, field, fields
from typing import Any, Optional

from fairseq import metrics
from fairseq.dataclass import FairseqDataclass
from torch import Tensor

from ..gates.methods import Unpruned
from ..training.teacher import Teacher
from .distillation_loss import distillation_loss

DISTILLATION = "distillation"
JOINT_WEIGHT, TUNING_WEIGHT, TEMPERATURE = 0.5, 0.9, 2.0


@dataclass
class DistillationConfig(FairseqDataclass):
    """The options of a criterion with a teacher."""

    teacher: Optional[str] = field(
        default=None,
        metadata={
            "help": "checkpoint whose distribution over the words is learned too: of a gated or a stock model of the "
            "same task, before or after prune, with the dictionaries of this training. The loss is (1 - a) times the "
            "cross entropy plus a T^2 KL(teacher || student) per target token; at validation it is the cross entropy "
            "alone (default: no teacher)"
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


OWN_OPTIONS = [known for known in fields(DistillationConfig) if known.name != "_name"]


class Distillation:
    """Mixin in front of ``PruningCriterion``: the divergence from a teacher in the loss and in the logs.

    Logs ``distillation`` in training with a teacher: T^2 KL per target token in bits, as ``nll_loss`` is. The criterion
    calls :meth:`take_teacher` when it is built and :meth:`taught_loss` where :meth:`is_taught`.
    """

    padding_idx: int  # set by fairseq's criterion
    teacher: Teacher | None = None
    _logged: dict[str, Tensor] = {}  # noqa: RUF012 (never changed) of the batch at hand, sums over its target tokens, nats

    def take_teacher(self, path: str | None, weight: float | None, temperature: float | None) -> None:
        self.teacher = None if path is None else Teacher(path)
        self.weight = weight
        self.temperature = TEMPERATURE if temperature is None else temperature

    def is_taught(self, model: Any) -> bool:
        return self.teacher is not None and model.training

    def forward(self, model, sample, reduce=True):
        self._logged = {}
        loss, sample_size, logging_output = super().forward(model, sample, reduce)
        logging_output.update(self._logged)
        return loss, sample_size, logging_output

    def taught_loss(self, model: Any, logits: Tensor, taught: Tensor, target: Tensor, epsilon: float = 0.0):
        """The loss and the nll, summed over the tokens of the target.

        Args:
            logits, taught: of student and teacher, [tokens, types].
            target: [tokens].
        """
        loss, nll, divergence = distillation_loss(
            logits, taught, target, self.padding_idx, self._weight_for(model), self.temperature, epsilon
        )
        self._logged = {DISTILLATION: divergence, "nll_loss": nll.detach()}
        return loss, nll

    def _weight_for(self, model: Any) -> float:
        if self.weight is not None:
            return self.weight
        method = model.gates.method
        tuning = method.scores_weights or isinstance(method, Unpruned)
        return TUNING_WEIGHT if tuning else JOINT_WEIGHT

    @classmethod
    def reduce_metrics(cls, logging_outputs):
        super().reduce_metrics(logging_outputs)
        log_per_token(DISTILLATION, [log for log in logging_outputs if DISTILLATION in log])


def log_per_token(name: str, logs: list[dict[str, Any]]) -> None:
    """Log the mean of ``name`` over the target tokens of some batches, in bits."""
    tokens = sum(log.get("ntokens", 0) for log in logs)
    if tokens:
        total = sum(log[name] for log in logs)
        metrics.log_scalar(name, total / tokens / math.log(2), tokens, round=3)
