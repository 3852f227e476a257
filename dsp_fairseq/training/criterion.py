"""The mixin for criterions: it begins the update of the gates, counts sample sizes, and logs the state of the gates."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from fairseq import metrics

from ..errors import BadInput
from ..families import families
from ..gates.gates import Gates
from ..gates.scalars import CHOICE, KEPT, scalars

_OF_GATES = (
    *("heads_kept", "ffn_kept", "layers_kept", "temperature", "penalty"),
    *("expected_heads", "expected_ffn", "expected_layers", "weights_kept", "threshold"),
)


class PruningCriterion:
    """Mixin in front of a fairseq criterion: ``class MyCriterion(PruningCriterion, CrossEntropyCriterion)``.

    The model applies the gates itself, inside its ``forward``. The mixin adds to the logs:

    * ``heads_kept``: in training the number of heads open in this update, at validation K;
    * ``temperature``, while gates are sampled from a relaxation;
    * with L0 gates ``expected_heads``, ``expected_ffn`` and ``penalty``, which is not part of the logged loss;
    * with ``movement`` ``weights_kept``, the open share of the weights, and ``threshold``;
    * in training the numbers of ``gates/scalars.py``.
    """

    name: ClassVar[str]  # registered name of this criterion
    stock_name: ClassVar[str]  # registered name of fairseq's criterion for models without gates

    _starts_update = False
    _scalars: Mapping[str, float] = MappingProxyType({})  # computed once an update, for all of its batches
    _are_final = False  # whether the scalars are those of the final choice

    def train(self, mode=True):
        # fairseq's trainer calls this once per update, before its first batch
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
        logging_output.update({f"{structure}_kept": count for structure, count in gates.open_counts.items()})
        if model.training and gates.temperature is not None:
            logging_output["temperature"] = gates.temperature
        return loss, sample_size, logging_output

    def _gates_of(self, model) -> Gates:
        gates = getattr(model, "gates", None)
        if gates is None:
            gated = " or ".join(family.model for family in families())
            raise BadInput(
                f"--criterion {self.name}: needs a gated model; say --arch {gated} or one of its shapes, or "
                f"--criterion {self.stock_name}"
            )
        return gates

    def _describe(self, gates: Gates) -> None:
        """Compute the scalars for the logs, unless they are those of the final choice already."""
        if not (self._are_final and gates.settled):
            self._scalars, self._are_final = scalars(gates), gates.settled

    def _with_penalty(self, loss, gates: Gates, sample_size, logging_output):
        """The loss plus the price of open units (L0 gates), which is stated per unit of sample size."""
        penalty = gates.penalty()
        if penalty is None:
            return loss
        logging_output["penalty"] = float(penalty.detach())
        logging_output.update({f"expected_{structure}": count for structure, count in gates.expected_counts.items()})
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
