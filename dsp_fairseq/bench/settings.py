"""The options of ``dsp-fairseq bench`` and the checks that need no checkpoint."""

from dataclasses import dataclass, field
from typing import Any

from ..errors import MOST
from ..families.work import Decoding

STOCK, MASKED, REMOVED, EXPORTED, INT8 = VARIANTS = ("stock", "masked", "removed", "exported", "int8")
EXPORTS = {EXPORTED: "none", INT8: "int8"}  # quantisation of each exported variant
WITHOUT_BEING_ASKED = VARIANTS[:-1]
MEANING = {
    STOCK: "fairseq's {stock}, zeros for the pruned {units}",
    MASKED: "every {unit} is computed, the pruned ones are multiplied by 0",
    REMOVED: "what {command} does with the checkpoint: it takes the pruned {units} out first",
    EXPORTED: "CTranslate2, float32, blocks of a stack padded to the same number of heads",
    INT8: "CTranslate2, int8 weights",
}


@dataclass(frozen=True)
class Settings:
    """All options except the checkpoints."""

    decoding: Decoding
    rounds: int = 5
    sentences: int = 200  # or other inputs
    data: str | None = None  # folder of fairseq-preprocess; None: the data folder of the first checkpoint's training
    text: str | None = None  # file with a sentence per line, or any text for a language model, in BPE
    variants: tuple[str, ...] | None = None  # None: all possible ones but int8
    heads_to_keep: str | None = None  # as --heads-to-keep of a training; None: the heads that decode now
    memory: bool = True  # whether to measure peak memory, in a process for each variant
    other_budgets: dict[str, str] = field(default_factory=dict)  # values by the names of options

    @property
    def budgets(self) -> dict[str, Any]:
        """The given values of all budgets, by the names of their options."""
        heads = {} if self.heads_to_keep is None else {"heads_to_keep": self.heads_to_keep}
        return heads | self.other_budgets

    def problems(self) -> list[str]:
        """One line for each problem that does not depend on the checkpoints."""
        decoding = self.decoding
        least = {
            "--batch-size": (decoding.batch_size, 1),
            "--beam": (decoding.beam, 1),
            "--max-len-a": (decoding.max_len_a, 0),
            "--max-len-b": (decoding.max_len_b, 1),
            "--rounds": (self.rounds, 1),
            "--sentences": (self.sentences, 1),
        }
        found = [
            f"{flag} {value}: must be {low} to {MOST}"
            for flag, (value, low) in least.items()
            if not low <= value <= MOST
        ]
        return found + _device_problems(decoding.device)


def _device_problems(device: str) -> list[str]:
    if device == "cpu":
        return []
    import torch

    sees = torch.cuda.is_available()
    return [] if sees else ["--device cuda: this torch sees no CUDA device; say --device cpu"]
