"""An option of ``fairseq-train`` that pruning methods read: its type, range and help, and its default by method."""

from dataclasses import dataclass, replace

from ...errors import MOST


@dataclass(frozen=True)
class Option:
    """One option, as one method declares it.

    Args:
        name: as an attribute, such as ``search_updates``.
        type: int or float.
        help: for ``--help``, in argparse's format; ``{defaults}`` becomes the defaults of all methods that read it.
        least, most: range of allowed values.
        default: None where the method finds its own value.
        pipelined: default with ``--pruning-mode pipelined``; None: the same.
        default_words: of the default, where its number does not say it.
        needs: what the method cannot do without, when it needs a value.
        before: the common option that this one precedes in ``--help``; None: after all of them.
    """

    name: str
    type: type[int] | type[float]
    help: str
    least: float
    most: float
    default: float | None = None
    pipelined: float | None = None
    default_words: str | None = None
    needs: str | None = None
    before: str | None = None

    def with_default(
        self, default: float | None, pipelined: float | None = None, default_words: str | None = None
    ) -> "Option":
        """The same option as another method declares it."""
        return replace(self, default=default, pipelined=pipelined, default_words=default_words)

    def default_of(self, mode: str) -> float | None:
        """Default in a ``--pruning-mode``."""
        return self.pipelined if mode == "pipelined" and self.pipelined is not None else self.default

    def allows(self, value: float) -> bool:
        return self.least <= value <= self.most

    @property
    def range(self) -> str:
        """The allowed values in words."""
        return f"{self.least} to {MOST}" if self.most == MOST else f"{self.least:g} to {self.most:g}"


RATE = Option(
    "pruning_lr",
    float,
    "constant learning rate of the importance logits, whatever --lr-scheduler does (default: {defaults})",
    1e-30,
    1e6,
)
INITIAL_TEMPERATURE = Option(
    "initial_temperature",
    float,
    "temperature of the relaxation at update 0, in units of the logits (default: {defaults})",
    1e-30,
    1e6,
)
FINAL_TEMPERATURE = Option(
    "final_temperature", float, "temperature after --cooldown-updates (default: {defaults})", 1e-30, 1e6
)
COOLDOWN = Option(
    "cooldown_updates",
    int,
    "updates over which the temperature falls, log-linear (default: {defaults})",
    0,
    MOST,
)
