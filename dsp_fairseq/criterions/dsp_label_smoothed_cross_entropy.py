"""The criterion of gated models: label-smoothed cross entropy, with the state of the gates in the logs."""

from fairseq.criterions import register_criterion
from fairseq.criterions.label_smoothed_cross_entropy import (
    LabelSmoothedCrossEntropyCriterion,
    LabelSmoothedCrossEntropyCriterionConfig,
)

from ..training import PruningCriterion
from ..training.preflight import CRITERION
from .label_smoothed_loss import label_smoothed_loss


@register_criterion(CRITERION, dataclass=LabelSmoothedCrossEntropyCriterionConfig)
class DspLabelSmoothedCrossEntropyCriterion(PruningCriterion, LabelSmoothedCrossEntropyCriterion):
    """fairseq's label-smoothed loss with a faster backward pass, and the state of the gates in the logs."""

    name, stock_name = CRITERION, "label_smoothed_cross_entropy"

    def compute_loss(self, model, net_output, sample, reduce=True):
        if not reduce:
            return super().compute_loss(model, net_output, sample, reduce)
        # logits [batch, target, vocabulary] and target [batch, target], both without the ignored prefix
        logits = net_output[0][:, self.ignore_prefix_size :]
        target = model.get_targets(sample, net_output)[:, self.ignore_prefix_size :]
        return label_smoothed_loss(logits.reshape(-1, logits.size(-1)), target.reshape(-1), self.eps, self.padding_idx)
