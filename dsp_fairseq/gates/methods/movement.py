"""``movement``: block movement pruning, which scores blocks of weights while they are fine-tuned."""

import math
import re
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from ...errors import MOST
from ...structures.inventory import Inventory
from ..weights.layout import BLOCK, HEAD, SHAPES, Blocking
from ..weights.schedule import Schedule
from .method import Method, Options
from .option import RATE, Option
from .registry import register_method

MASK_OPTIONS = ("weights_to_keep", "final_threshold")  # which --model-overrides may change
SHAPE_OPTIONS = ("block_shape", "block_rows", "block_cols")  # which it may not, because every score belongs to a block
THRESHOLD_PENALTY = 5.0  # default of --movement-penalty where a threshold prunes


@register_method("movement")
@dataclass(frozen=True)
class Movement(Method):
    """Block movement pruning (Lagunas et al., EMNLP 2021; Sanh et al., NeurIPS 2020).

    It chooses no units, so all of them are open; the masks of the weights are in ``gates/weights``.
    """

    SUMMARY: ClassVar[str] = "blocks of weights by movement"
    OPTIONS = (
        RATE.with_default(0.01),
        Option(
            "weights_to_keep",
            str,
            "movement: share such as 30%% of the weights of attention and feed-forward blocks that is kept, exactly: "
            "the blocks of weights with the best scores, as many as fit (default: those whose sigmoid(score) is above "
            "--final-threshold)",
            0,
            MOST,
        ),
        Option(
            "block_rows",
            int,
            "movement: rows of a block of weights of query, key and value (columns in the output projection); must "
            "divide the rows of the matrix (default: 32)",
            1,
            MOST,
            default=32,
        ),
        Option(
            "block_cols",
            int,
            "movement: columns of a block of weights of query, key and value (rows in the output projection); must "
            "divide the columns of the matrix (default: 32)",
            1,
            MOST,
            default=32,
        ),
        Option(
            "block_shape",
            str,
            "movement: what has a score in attention: block, each block of weights; head, each whole head. In "
            "feed-forward, each hidden unit has one (default: block)",
            0,
            MOST,
            default=BLOCK,
        ),
        Option(
            "final_threshold",
            float,
            "movement: a block of weights is open where sigmoid(score) is above a threshold, which rises from 0 to "
            "this (default: 0.1)",
            1e-6,
            0.49,
            default=0.1,
        ),
        Option(
            "movement_penalty",
            float,
            "movement: price, in nats per target token, by which the mean sigmoid(score) is multiplied; it rises with "
            f"the threshold (default: {THRESHOLD_PENALTY:g}; 0 with --weights-to-keep)",
            0,
            1e6,
        ),
        Option(
            "penalty_weights",
            str,
            "movement: factors of --movement-penalty for attention or feed-forward of a part of the model, such as "
            "{group weights}; above 1 closes more there (default: 1 for all)",
            0,
            MOST,
        ),
        Option(
            "pruning_start",
            float,
            "movement: share of the planned updates after which pruning starts (default: 0.1)",
            0,
            1,
            default=0.1,
        ),
        Option(
            "pruning_end",
            float,
            "movement: share of the planned updates after which the threshold, or the share of weights that is kept, "
            "is final; until then it follows a cubic curve (default: 0.6)",
            0,
            1,
            default=0.6,
        ),
    )
    needs_count = False
    scores_weights = True

    def initial_logits(self, inventory: Inventory) -> Tensor:
        return torch.ones(inventory.units, dtype=torch.float64)

    @classmethod
    def option_problems(cls, options: Options, given: Options, updates: int | None) -> list[str]:
        problems, share = [], parsed_share(options["weights_to_keep"])
        if options["weights_to_keep"] is not None and share is None:
            problems.append(
                f"--weights-to-keep {options['weights_to_keep']}: must be a share below 100%, such as 30%; to train "
                "with all weights say --pruning-method none"
            )
        if options["block_shape"] not in SHAPES:
            problems.append(f"--block-shape {options['block_shape']}: must be {' or '.join(SHAPES)}")
        if options["block_shape"] == HEAD:
            problems += [
                f"--{name.replace('_', '-')} {given[name]}: --block-shape head scores whole heads; leave out one"
                for name in ("block_rows", "block_cols")
                if name in given
            ]
        if options["weights_to_keep"] is not None and "final_threshold" in given:
            problems.append(
                f"--final-threshold {given['final_threshold']}: --weights-to-keep says how much is kept; leave out one "
                "of both"
            )
        if options["pruning_start"] >= options["pruning_end"]:
            problems.append(
                f"--pruning-start {options['pruning_start']:g}: must be below --pruning-end "
                f"({options['pruning_end']:g}), or nothing is ever pruned"
            )
        if not problems and updates:
            problems += Settings.of(options).problems(updates)
        return problems


@dataclass(frozen=True)
class Settings:
    """How scores become masks over a training, read from the options."""

    rate: float  # learning rate of the scores at the start; it falls linearly to 0
    blocking: Blocking
    schedule: Schedule
    share: float | None  # of the weights that is kept at the end; None: the threshold decides
    threshold: float  # of sigmoid(score), at the end
    penalty: float  # price of R at the end, in nats per unit of sample size

    @classmethod
    def of(cls, options: Options) -> "Settings":
        """The settings of options of pruning, with the defaults of the method filled in."""
        share, penalty = parsed_share(options["weights_to_keep"]), options["movement_penalty"]
        if penalty is None:
            penalty = THRESHOLD_PENALTY if share is None else 0.0
        return cls(
            options["pruning_lr"],
            Blocking(options["block_rows"], options["block_cols"], options["block_shape"]),
            Schedule(options["pruning_start"], options["pruning_end"]),
            share,
            options["final_threshold"],
            penalty,
        )

    def level(self, progress: float) -> float:
        """The share of the weights that is kept, or the threshold, when pruning has come so far (0 to 1)."""
        return self.threshold * progress if self.share is None else 1.0 - (1.0 - self.share) * progress

    def problems(self, length: int) -> list[str]:
        """Why a training of ``length`` updates would never prune, one line each.

        Adam moves a score by its learning rate at most, which falls to 0. From 0, where they start and stay until the
        penalty acts, scores have to reach the logit of the threshold.
        """
        problems = self.schedule.problems(length)
        if self.share is None:
            needed = math.log((1.0 - self.threshold) / self.threshold)
            steps = length * (1.0 - self.schedule.start) ** 2 / 2  # after the start, each as long as its rate
            if self.rate * steps < needed:
                problems.append(
                    f"--pruning-lr {self.rate:g}: in {length} updates no score can fall to -{needed:.2f}, below which "
                    f"--final-threshold {self.threshold:g} prunes; say {1.01 * needed / steps:.3g} or more, or "
                    "train longer (--max-update, --max-epoch), or say --weights-to-keep"
                )
        return problems


def parsed_share(text: Any) -> float | None:
    """The share of the weights that a text such as ``30%`` says, below 1; None for any other text."""
    found = re.fullmatch(r"(\d{1,2}(?:\.\d{1,9})?)%", str(text))
    return float(found[1]) / 100 if found else None
