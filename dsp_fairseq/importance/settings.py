"""The options of ``dsp-fairseq importance`` and the checks that need no checkpoint."""

import os
from typing import Any, NamedTuple

from ..errors import MOST, MOST_SEED, flag
from ..option_names import BUDGETS, LIMITS
from . import BLOCK, GRADIENT, MAGNITUDE, RANDOM

REMEDY = "give the folder that fairseq-preprocess wrote for the training of this checkpoint"

DEFAULTS = {"normalise": BLOCK, "max_tokens": 4096, "subset": "valid", "seed": 1}
# the options that each score reads; any other option would have no effect and is refused
_READS = {
    GRADIENT: {"step", "normalise", "sentences", "max_tokens", "subset", "seed"},
    MAGNITUDE: {"step", "normalise"},
    RANDOM: {"seed"},
}
_BOUNDS = {
    "seed": (0, MOST_SEED),
    **dict.fromkeys(("step", "sentences", "max_tokens"), (1, MOST)),
    **dict.fromkeys([name for name in LIMITS if name.startswith(("min_", "max_"))], (0, MOST)),
    "ffn_group": (1, MOST),
}


def folder_problems(folder: str | None) -> list[str]:
    """One line when a data folder is given and does not exist."""
    return [] if folder is None or os.path.isdir(folder) else [f"data folder {folder}: does not exist; {REMEDY}"]


class Settings(NamedTuple):
    """The options of ``dsp-fairseq importance``; None where an option is not given."""

    heads_to_keep: str | None = None
    score: str = GRADIENT
    data: str | None = None
    step: int | None = None
    normalise: str | None = None
    sentences: int | None = None
    max_tokens: int | None = None
    subset: str | None = None
    seed: int | None = None
    min_heads_per_block: int | None = None
    max_heads_per_block: int | None = None
    min_ffn_per_block: int | None = None
    max_ffn_per_block: int | None = None
    ffn_to_keep: str | None = None
    ffn_group: int | None = None
    layers_to_keep: str | None = None
    parameters_to_keep: str | None = None

    @property
    def given(self) -> dict[str, Any]:
        return {name: value for name, value in self._asdict().items() if value is not None}

    @property
    def budgets(self) -> dict[str, Any]:
        """The budgets that are given, by the names of their options."""
        return {name: value for name, value in self.given.items() if name in BUDGETS}

    @property
    def is_about_feed_forward(self) -> bool:
        """Whether hidden units of feed-forward blocks can be removed."""
        return any("ffn" in name or name == "parameters_to_keep" for name in self.given)

    @property
    def read(self) -> dict[str, Any]:
        """Values of the options that the score reads; options without a default are None."""
        return {name: {**DEFAULTS, **self.given}.get(name) for name in sorted(_READS[self.score])}

    def problems(self) -> list[str]:
        """One line for each problem that does not depend on the checkpoint."""
        found = [
            f"{flag(name)} {value}: must be {low} to {high}"
            for name, value in self.given.items()
            for low, high in [_BOUNDS.get(name, (value, value))]
            if not low <= value <= high
        ]
        if not self.budgets:
            found.append(f"{' or '.join(map(flag, BUDGETS))} is missing: say how much is to be kept")
        at_once = [flag(name) for name in ("layers_to_keep", "parameters_to_keep") if name in self.given]
        if self.step is not None and at_once:
            found.append(
                f"--step {self.step}: goes with budgets in heads and hidden units only, not with {at_once[0]}; "
                "leave it out"
            )
        unread = set.union(*_READS.values()) - _READS[self.score]
        found += [
            f"{flag(name)} {value}: --score {self.score} does not read it; leave it out"
            for name, value in self.given.items()
            if name in unread
        ]
        if self.score == GRADIENT and self.data is None:
            found.append(
                f"DATA is missing: --score {GRADIENT} reads sentences; give the folder that fairseq-preprocess wrote"
            )
        if self.score == GRADIENT and self.seed is not None and self.sentences is None:
            found.append(f"--seed {self.seed}: draws nothing, because all sentences are read; give --sentences too")
        return found
