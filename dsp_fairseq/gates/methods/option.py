"""Options of ``fairseq-train`` that pruning methods read: type, range and help, with a default of each method."""

from dataclasses import dataclass, replace

from ...errors import MOST


@dataclass(frozen=True)
class Option:
    """One option as one method declares it.

    Args:
        name: name of the attribute in argparse's namespace, such as ``search_updates``.
        type: int, float or str.
        help: text for ``--help`` in argparse's format; ``{defaults}`` stands for the defaults of all methods that
            read the option.
        least, most: smallest and largest allowed value; they say nothing about a text.
        default: default value; None where the method computes its own.
        pipelined: default with ``--pruning-mode pipelined``; None when it is the same.
        default_words: text that ``--help`` shows for the default instead of the number.
        needs: description of the value that the user must give, for the message when it is missing; None when the
            option is not required.
        before: name of the common option that this one precedes in ``--help``; None when it follows all of them.
    """

    name: str
    type: type[int] | type[float] | type[str]
    help: str
    least: float
    most: float
    default: float | str | None = None
    pipelined: float | None = None
    default_words: str | None = None
    needs: str | None = None
    before: str | None = None

    def with_default(
        self, default: float | None, pipelined: float | None = None, default_words: str | None = None
    ) -> "Option":
        """The same option with the default of another method."""
        return replace(self, default=default, pipelined=pipelined, default_words=default_words)

    def default_of(self, mode: str) -> float | str | None:
        """Default under a ``--pruning-mode``."""
        return self.pipelined if mode == "pipelined" and self.pipelined is not None else self.default

    def allows(self, value: float | str) -> bool:
        return isinstance(value, str) or self.least <= value <= self.most

    @property
    def range(self) -> str:
        """The allowed values as text for messages."""
        return f"{self.least} to {MOST}" if self.most == MOST else f"{self.least:g} to {self.most:g}"


RATE = Option(
    "pruning_lr",
    float,
    "constant learning rate of the importance logits, whatever --lr-scheduler does; with movement that of the scores "
    "at the start, falling to 0 over the planned updates (default: {defaults})",
    1e-30,
    1e6,
)
SEARCH = Option(
    "search_updates",
    int,
    "dsp, and l0 without --l0-penalty: updates until the choice is final; the weights train on under it (default: 30%% "
    "of the planned updates, from --max-update or --max-epoch; all of them with --pruning-mode pipelined)",
    1,
    MOST,
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
