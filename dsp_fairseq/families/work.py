"""What ``dsp-fairseq bench`` times of the models of a family: its work on batches, and its work on single inputs."""

from abc import ABC, abstractmethod
from argparse import Namespace
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

if TYPE_CHECKING:
    from .data import DataFolder  # imports torch, which commands do not wait for

Input = list[int]  # numbers of words


@dataclass(frozen=True)
class Decoding:
    """How a benchmark decodes."""

    batch_size: int = 32  # inputs
    beam: int = 5
    max_len_a: float = 0.0  # a translation has at most a * words of its source + b words
    max_len_b: int = 200
    device: str = "cpu"
    half: bool = False  # float16, after the comparison of outcomes, which is in float32

    def longest(self, source: int) -> int:
        """Most words of a translation when the sources are padded to ``source`` words."""
        return int(self.max_len_a * source + self.max_len_b)


class Outcome(Protocol):
    """What a model makes of one input."""

    tokens: tuple[int, ...]  # the words that were written or predicted

    def same_as(self, other: Any) -> bool:
        """Whether another variant of the model has done the same."""

    def as_good_as(self, other: Any) -> bool:
        """Whether only rounding has decided between this and what another variant did."""


class Job(Protocol):
    """Something that a model does with inputs."""

    def prepare(self, batch: list[Input]) -> Any:
        """A batch in the form that the model reads, on its device."""

    def run(self, prepared: Any) -> Any:
        """The work itself; this call is timed."""

    def outcomes(self, done: Any) -> list[Any]:
        """What came of each input, from what ``run`` returned."""


class Jobs(NamedTuple):
    """What one model does with batches, and what it does with single inputs, for the latency."""

    batches: Job
    singles: Job


@dataclass(frozen=True)
class Wording:
    """The words for a kind of work in tables and pictures."""

    task: str  # its name in JSON
    verb: str  # a model ... an input
    inputs: str
    outcomes: str  # what is compared between variants
    command: str  # the command of fairseq that does the same
    stock: str  # fairseq's model
    single: str  # of what the latency is


class Work(ABC):
    """What is timed, and with which inputs.

    ``options`` are those of the model and ``task`` those of the task of a training.
    """

    wording: ClassVar[Wording]
    singles: ClassVar[int]  # how many inputs are timed alone in each round

    @abstractmethod
    def limits(self, decoding: Decoding) -> str:
        """How long outputs are, in words."""

    @abstractmethod
    def longest(self, options: Namespace) -> float:
        """The length of the longest input that a model can take."""

    @abstractmethod
    def test_set(self, data: "DataFolder", options: Namespace) -> list[Input]:
        """The test set of a data folder; raises BadInput when there is none."""

    @abstractmethod
    def of_lines(self, lines: list[Input], options: Namespace, task: Namespace) -> list[Input]:
        """The inputs in the lines of a text, which may be empty."""

    @abstractmethod
    def random(self, words: int, count: int, options: Namespace, task: Namespace) -> list[Input]:
        """Random inputs over a dictionary of ``words`` words, the same at every call."""

    @abstractmethod
    def jobs(self, model: Any, dictionary: Any, decoding: Decoding) -> Jobs:
        """The work of a fairseq model that writes words of ``dictionary``."""

    def exported_jobs(self, folder: str, words: Any, decoding: Decoding, compute_type: str, options: Namespace) -> Jobs:
        """The work of a model of ``options`` that was exported to CTranslate2; ``words`` are its dictionaries.

        Only families with a converter have this.
        """
        raise NotImplementedError
