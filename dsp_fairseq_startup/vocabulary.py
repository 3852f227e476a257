"""A checkpoint and a data folder with another dictionary: which file, both sizes, what to do

`size mismatch for encoder.embed_tokens.weight ...` with a traceback, where fairseq loads a checkpoint to decode, to
validate, to go on training or to fine-tune. When: always. Dictionaries of the same size cannot be told apart by their
size; other languages than the checkpoint's are told in a warning (`mend`).
"""

import functools
import os
import re
import sys

from .not_written import chain
from .wrong_use import frames

MISMATCH = re.compile(
    r"size mismatch for (\S+): copying a param with shape torch\.Size\(\[(\d+)[^\]]*\]\) from checkpoint,"
    r" the shape in current model is torch\.Size\(\[(\d+)"
)
NOT_JOINED = re.compile("--share-all-embeddings requires a (joined|joint) dictionary")
SIDES = {"encoder.embed_tokens.weight": "source_lang", "decoder.embed_tokens.weight": "target_lang"}
WITH_THE_VOCABULARY = {*SIDES, "decoder.output_projection.weight"}


def explain(error):
    """One line per dictionary, or None if anything else differs too."""
    for exception in chain(error):
        found = {name: sizes for name, *sizes in MISMATCH.findall(str(exception))}
        different = {name: sizes for name, sizes in found.items() if sizes[0] != sizes[1]}
        if different and set(found) <= WITH_THE_VOCABULARY and SIDES.keys() & different.keys():
            return "\n".join(_told(exception, SIDES[name], *different[name]) for name in SIDES if name in different)
    if NOT_JOINED.match(str(error)):
        source, target = (_file(error, side) for side in SIDES.values())
        return (
            f"--share-all-embeddings: dictionaries {source} and {target} differ: take the data folder of the training,"
            " or make one with fairseq-preprocess --joined-dictionary"
        )
    return None


def _told(error, side, trained, given):
    return (
        f"dictionary {_file(error, side)} has {given} symbols, {checkpoint_of(error)} was trained with {trained}: "
        "take the data folder that it was trained on, or make one with its dictionaries (fairseq-preprocess "
        "--srcdict, --tgtdict)"
    )


def _file(error, side):
    for frame in frames(error):
        task = frame.f_locals.get("task") or getattr(frame.f_locals.get("self"), "task", None)
        options = getattr(task, "cfg", None) or getattr(task, "args", None)
        if getattr(options, "data", None):
            language = getattr(options, side, None)
            name = f"dict.{language}.txt" if language else "dict.txt"
            return os.path.join(options.data.split(os.pathsep)[0], name)
    return "of the " + side.partition("_")[0]


def checkpoint_of(error):
    names = [frame.f_locals["filename"] for frame in frames(error) if isinstance(frame.f_locals.get("filename"), str)]
    return f"checkpoint {names[0]}" if names else "the checkpoint"


def mend(checkpoint_utils):
    load = checkpoint_utils.load_model_ensemble_and_task
    checkpoint_utils.load_model_ensemble_and_task = warning_of_other_languages(load)


def warning_of_other_languages(load_model_ensemble_and_task):
    @functools.wraps(load_model_ensemble_and_task)
    def wrapper(filenames, arg_overrides=None, task=None, *args, **kwargs):
        result = load_model_ensemble_and_task(filenames, arg_overrides, task, *args, **kwargs)
        trained, given = _languages(result[1].task), _languages(getattr(task, "cfg", None))
        if trained and given and trained != given:
            print(
                f"warning: checkpoint {filenames[-1]} translates {trained[0]} to {trained[1]}, the data are"
                f" {given[0]} to {given[1]} (--source-lang, --target-lang)",
                file=sys.stderr,
            )
        return result

    return wrapper


def _languages(options):
    pair = getattr(options, "source_lang", None), getattr(options, "target_lang", None)
    return pair if all(pair) else None
