"""How fairseq evaluates the models of a sweep: the command, and what is read from what it prints."""

from abc import ABC, abstractmethod
from argparse import ArgumentParser
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, NamedTuple

if TYPE_CHECKING:
    from .config import Config
    from .plan import Cell


class Score(NamedTuple):
    """A number for each cell, and how it is computed."""

    signature: str
    of: "Callable[[Cell], float]"  # raises Failed when the evaluation of the cell did not print what it needs


class Evaluation(ABC):
    """A command of fairseq that measures how good a model is. A family names its command (``Family.evaluated_by``)."""

    command: ClassVar[str]
    key: ClassVar[str]  # of the sweep's file, for the flags of the command; the name of the files that it writes
    score_name: ClassVar[str]
    column: ClassVar[str]  # of the score in results.csv
    axis: ClassVar[str]  # the score on the axis of a picture
    doing: ClassVar[str]
    done: ClassVar[str]
    separates: ClassVar[bool] = True  # whether it prints its results apart from its messages
    nll: ClassVar[tuple[str, ...]]  # its names in the log of a training; the first that is there counts
    notes: ClassVar[tuple[str, ...]] = ()  # further lines of results.md

    @abstractmethod
    def parser(self) -> ArgumentParser:
        """Of the command."""

    @abstractmethod
    def score(self, config: "Config") -> Score:
        """The score that the table and the pictures show."""


class Decoding(Evaluation):
    """Translations of a test set, scored by BLEU."""

    command, key = "fairseq-generate", "generate"
    score_name, column, axis = "BLEU", "bleu", "BLEU"
    doing, done = "decoding", "decoded"
    nll = ("valid_nll_loss",)
    notes = ("speed: `dsp-fairseq bench` times checkpoints in turns, which cells of a sweep are not",)

    def parser(self) -> ArgumentParser:
        from fairseq import options

        return options.get_generation_parser()

    def score(self, config: "Config") -> Score:
        from .scores import fairseq_bleu, sacre_bleu

        return fairseq_bleu() if config.reference is None else sacre_bleu(config.reference)


class Perplexity(Evaluation):
    """The perplexity of a text for a language model."""

    command, key = "fairseq-eval-lm", "evaluate"
    score_name, column, axis = "perplexity", "perplexity", "perplexity (lower is better)"
    doing, done, separates = "evaluation", "evaluated", False
    nll = ("valid_nll_loss", "valid_loss")  # fairseq logs no nll where it is the loss

    def parser(self) -> ArgumentParser:
        from fairseq import options

        return options.get_eval_lm_parser()

    def score(self, config: "Config") -> Score:
        from .scores import perplexity

        return perplexity()


DECODING = Decoding()
EVALUATIONS: dict[str, Evaluation] = {each.command: each for each in (DECODING, Perplexity())}
