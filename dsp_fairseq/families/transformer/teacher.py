"""Whether a trained Transformer can teach another one: it must read the same sentences and know the same words."""

import logging
from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from ...errors import BadInput
from ..teachers import data_folders, different_words
from .data import dictionaries, languages_of
from .words import STACKS

logger = logging.getLogger(__name__)
SIDES = ("source", "target")


def teacher_problems(path: str, state: Mapping[str, Any], stored: Namespace, options: Namespace) -> list[str]:
    """See :meth:`Family.teacher_problems`."""
    if getattr(stored, "adaptive_softmax_cutoff", None):
        return [f"--teacher {path}: has an adaptive softmax, which gives no logits of all words; train one without"]
    return [*_position_problems(path, stored, options), *_word_problems(path, state, options)]


def _position_problems(path: str, stored: Namespace, options: Namespace) -> list[str]:
    """Lines for learned positions that end before the longest sentence of the training."""
    problems = []
    for side, stack in zip(SIDES, STACKS, strict=True):
        most = getattr(stored, f"max_{side}_positions", None)
        wanted = getattr(options, f"max_{side}_positions", None)
        if getattr(stored, f"{stack}_learned_pos", False) and most and wanted and wanted > most:
            problems.append(
                f"--max-{side}-positions {wanted}: --teacher {path} has learned positions up to {most}; say "
                f"--max-{side}-positions {most}"
            )
    return problems


def _word_problems(path: str, state: Mapping[str, Any], options: Namespace) -> list[str]:
    """Lines when rows of the teacher's embeddings mean other words than here, as far as the dictionaries tell."""
    here, there = data_folders(options, state)
    try:
        own_words = dictionaries(here)
    except BadInput as error:
        return [f"--teacher {path}: {line}" for line in str(error).splitlines()]
    try:
        words, languages = dictionaries(there), languages_of(there)
    except (BadInput, OSError) as error:
        logger.warning(
            "--teacher %s: only the number of its words can be compared, because %s", path, str(error).partition(";")[0]
        )
        return []
    if None not in (languages, languages_of(here)) and languages != languages_of(here):
        translates, this = (" to ".join(pair or ()) for pair in (languages, languages_of(here)))
        return [f"--teacher {path}: translates {translates}, but this training is of {this}; give one of the same"]
    return different_words(path, words, own_words)
