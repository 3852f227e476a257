from .dsp_label_smoothed_cross_entropy import DspLabelSmoothedCrossEntropyCriterion
from .language_model_losses import DspAdaptiveLoss, DspCrossEntropyCriterion

__all__ = ["DspAdaptiveLoss", "DspCrossEntropyCriterion", "DspLabelSmoothedCrossEntropyCriterion"]
