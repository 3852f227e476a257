"""The mixin for criterions: it begins each update of the gates, adds up sample sizes, and logs the gates' state."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from fairseq import metrics

from ..errors import BadInput
from ..families import families
from ..gates.head_gates import HeadGates
from ..gates.scalars import CHOICE, KEPT, scalars

_OF_GATES = ("heads_kept", "temperature", "penalty", "expected_heads")


class PruningCriterion:
    """Mixin in front of a fairseq criterion: ``class MyCriterion(PruningCriterion, CrossEntropyCriterion)``.

    The model applies the gates of the update itself, inside its ``forward``. The criterion logs

    * ``heads_kept``: the number of heads that are open in this update, or K at validation;
    * ``temperature``, while the gates are sampled;
    * ``penalty`` (not part of the logged loss) and ``expected_heads``, with L0 gates;
    * in training, the scalars of ``gates/scalars.py``, which describe the choice.

    ``forward`` raises BadInput when the model has no gates.
    """

    name: ClassVar[str]  # the name under which the criterion is registered with fairseq
    stock_name: ClassVar[str]  # the name of fairseq's own criterion, for models without gates

    _starts_update = False
    _scalars: Mapping[str, float] = MappingProxyType({})  # scalars of this update, the same for all of its batches
    _are_final = False  # whether _scalars describe the final choice

    def train(self, mode=True):
        # fairseq's trainer calls train() once at the start of every update, not for every batch
        self._starts_update = mode
        return super().train(mode)

    def forward(self, model, sample, reduce=True):
        gates = self._gates_of(model)
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
        logging_output["heads_kept"] = gates.open_units
        if model.training and gates.temperature is not None:
            logging_output["temperature"] = gates.temperature
        return loss, sample_size, logging_output

    def _gates_of(self, model) -> HeadGates:
        gates = getattr(model, "gates", None)
        if gates is None:
            gated = " or ".join(family.model for family in families())
            raise BadInput(
                f"--criterion {self.name}: needs a gated model; say --arch {gated} or one of its shapes, or "
                f"--criterion {self.stock_name}"
            )
        return gates

    def _describe(self, gates: HeadGates) -> None:
        """Compute the logged scalars of the choice, which no longer change once the choice is final."""
        if not (self._are_final and gates.settled):
            self._scalars, self._are_final = scalars(gates), gates.settled

    def _with_penalty(self, loss, gates: HeadGates, sample_size, logging_output):
        """The loss, summed over the batch, plus the penalty of L0 gates times ``sample_size``."""
        penalty = gates.penalty()
        if penalty is None:
            return loss
        logging_output["penalty"] = float(penalty.detach())
        logging_output["expected_heads"] = gates.expected_heads
        return loss + penalty.to(loss) * float(sample_size)

    @classmethod
    def reduce_metrics(cls, logging_outputs):
        super().reduce_metrics(logging_outputs)
        batches = sum(log.get("batches", 0) for log in logging_outputs)
        kinds = dict.fromkeys(name for log in logging_outputs for name in log if name.startswith(KEPT))
        for name in (*_OF_GATES, *kinds, *CHOICE):
            logged = [log[name] for log in logging_outputs if name in log]
            if batches and logged:
                metrics.log_scalar(name, sum(logged) / batches, weight=0, priority=150)
