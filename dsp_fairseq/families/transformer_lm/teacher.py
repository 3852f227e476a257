"""Whether a trained language model can teach another one: it must know the same words and read as many at a time."""

import logging
from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from ...errors import BadInput
from ..teachers import REMEDY, data_folders, different_words
from .data import dictionary, words_out_of

logger = logging.getLogger(__name__)


def teacher_problems(path: str, state: Mapping[str, Any], stored: Namespace, options: Namespace) -> list[str]:
    """See :meth:`Family.teacher_problems`."""
    cut = getattr(options, "adaptive_softmax_cutoff", None)
    if cut:
        return [
            f"--adaptive-softmax-cutoff {cut}: with --teacher the student needs a distribution over all words, which "
            "an adaptive softmax is there to avoid; leave out one of both"
        ]
    return [*_position_problems(path, stored, options), *_word_problems(path, state, options)]


def _position_problems(path: str, stored: Namespace, options: Namespace) -> list[str]:
    """A line for learned positions that end before the longest sample of the training."""
    most = getattr(stored, "max_target_positions", None) or getattr(stored, "tokens_per_sample", None)
    if not getattr(stored, "decoder_learned_pos", False) or getattr(stored, "no_token_positional_embeddings", False):
        return []
    name = "tokens_per_sample"
    if getattr(options, "sample_break_mode", None) == "eos":  # a sample is a sentence, of any length
        name = "max_target_positions" if getattr(options, "max_target_positions", None) else "max_tokens"
    wanted = getattr(options, name, None)
    if not most or not wanted or wanted <= most:
        return []
    option = f"--{name.replace('_', '-')}"
    return [f"{option} {wanted}: --teacher {path} has learned positions up to {most}; say {option} {most}"]


def _word_problems(path: str, state: Mapping[str, Any], options: Namespace) -> list[str]:
    """Lines when the teacher's words are others than here, as far as the dictionaries tell."""
    here, there = data_folders(options, state)
    try:
        own = dictionary(here)
    except BadInput as error:
        return [f"--teacher {path}: {line}" for line in str(error).splitlines()]
    given = getattr(options, "output_dictionary_size", None)
    predicted = given if given is not None and given >= 0 else len(own.dictionary)
    if words_out_of(state["model"]) != predicted:
        return [f"--teacher {path}: predicts {words_out_of(state['model'])} words, this training {predicted}; {REMEDY}"]
    try:
        known = dictionary(there)
    except (BadInput, OSError) as error:
        logger.warning(
            "--teacher %s: only the number of its words can be compared, because %s", path, str(error).partition(";")[0]
        )
        return []
    return different_words(path, [known], [own])
