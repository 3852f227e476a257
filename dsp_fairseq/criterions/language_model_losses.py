"""The criterions of gated language models: fairseq's cross entropy and its adaptive loss, and the gates in the logs."""

from fairseq.criterions import register_criterion
from fairseq.criterions.adaptive_loss import AdaptiveLoss, AdaptiveLossConfig
from fairseq.criterions.cross_entropy import CrossEntropyCriterion, CrossEntropyCriterionConfig

from ..families.transformer_lm.words import CRITERIONS
from ..training import PruningCriterion

_CROSS_ENTROPY, _ADAPTIVE = CRITERIONS


@register_criterion(_CROSS_ENTROPY, dataclass=CrossEntropyCriterionConfig)
class DspCrossEntropyCriterion(PruningCriterion, CrossEntropyCriterion):
    """``cross_entropy`` for a gated model."""

    name, stock_name = _CROSS_ENTROPY, "cross_entropy"


@register_criterion(_ADAPTIVE, dataclass=AdaptiveLossConfig)
class DspAdaptiveLoss(PruningCriterion, AdaptiveLoss):
    """``adaptive_loss``, for an adaptive softmax, for a gated model; it needs ``--ddp-backend legacy_ddp``."""

    name, stock_name = _ADAPTIVE, "adaptive_loss"
