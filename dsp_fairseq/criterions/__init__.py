from .dsp_label_smoothed_cross_entropy import DspLabelSmoothedCrossEntropyCriterion

__all__ = ["DspLabelSmoothedCrossEntropyCriterion"]
