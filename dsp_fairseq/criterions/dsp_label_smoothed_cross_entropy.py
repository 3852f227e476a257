"""Label-smoothed cross entropy of a gated model, with the state of its gates in the logs."""

from collections.abc import Mapping
from types import MappingProxyType

from fairseq import metrics
from fairseq.criterions import register_criterion
from fairseq.criterions.label_smoothed_cross_entropy import (
    LabelSmoothedCrossEntropyCriterion,
    LabelSmoothedCrossEntropyCriterionConfig,
)

from ..errors import BadInput
from ..gates.scalars import SCALARS, scalars
from ..preflight import CRITERION
from .label_smoothed_loss import label_smoothed_loss


@register_criterion(CRITERION, dataclass=LabelSmoothedCrossEntropyCriterionConfig)
class DspLabelSmoothedCrossEntropyCriterion(LabelSmoothedCrossEntropyCriterion):
    """fairseq's loss; the model applies the gates of the update itself, inside its ``forward``.

    Logs ``heads_kept`` (in training the heads open in this update, at validation K) and, while the
    gates are sampled, ``temperature``; with L0 gates ``penalty`` (which the logged loss leaves out)
    and ``expected_heads``; in training also what ``gates/scalars.py`` says of the choice.
    """

    _starts_update = False
    _scalars: Mapping[str, float] = MappingProxyType({})  # of this update, the same for all of its batches
    _are_final = False

    def train(self, mode: bool = True):
        # fairseq's trainer calls this once at the start of every update, not for every batch
        self._starts_update = mode
        return super().train(mode)

    def forward(self, model, sample, reduce=True):
        gates = getattr(model, "gates", None)
        if gates is None:
            raise BadInput(
                f"--criterion {CRITERION}: needs a gated model; say --arch gated_transformer or one "
                "of its shapes, or --criterion label_smoothed_cross_entropy"
            )
        if self._starts_update:
            gates.begin_update()
            self._describe(gates)
            self._starts_update = False
        loss, sample_size, logging_output = super().forward(model, sample, reduce=reduce)
        if model.training:
            gates.add_sample_size(sample_size)
            loss = self._with_penalty(loss, gates, sample_size, logging_output)
            logging_output.update(self._scalars)
        logging_output["batches"] = 1
        logging_output["heads_kept"] = gates.heads_kept
        if model.training and gates.temperature is not None:
            logging_output["temperature"] = gates.temperature
        return loss, sample_size, logging_output

    def _describe(self, gates) -> None:
        """What the logs say of the choice; nothing moves any more once it is final."""
        if not (self._are_final and gates.settled):
            self._scalars, self._are_final = scalars(gates), gates.settled

    def _with_penalty(self, loss, gates, sample_size, logging_output):
        """The summed loss and what open heads cost (L0 gates), which is said per unit of sample size."""
        penalty = gates.penalty()
        if penalty is None:
            return loss
        logging_output["penalty"] = float(penalty.detach())
        logging_output["expected_heads"] = gates.expected_heads
        return loss + penalty.to(loss) * float(sample_size)

    def compute_loss(self, model, net_output, sample, reduce=True):
        if not reduce:
            return super().compute_loss(model, net_output, sample, reduce)
        # [batch, target, types] and [batch, target], both without the ignored prefix
        logits = net_output[0][:, self.ignore_prefix_size :]
        target = model.get_targets(sample, net_output)[:, self.ignore_prefix_size :]
        return label_smoothed_loss(logits.reshape(-1, logits.size(-1)), target.reshape(-1), self.eps, self.padding_idx)

    @classmethod
    def reduce_metrics(cls, logging_outputs) -> None:
        super().reduce_metrics(logging_outputs)
        batches = sum(log.get("batches", 0) for log in logging_outputs)
        for name in ("heads_kept", "temperature", "penalty", "expected_heads", *SCALARS):
            logged = [log[name] for log in logging_outputs if name in log]
            if batches and logged:
                metrics.log_scalar(name, sum(logged) / batches, weight=0, priority=150)
