"""Messages for `size mismatch for encoder.embed_tokens.weight`: the data have another dictionary than the checkpoint.

The message names the dictionary and both sizes. It is the same for decoding, validation, continued training and
fine-tuning. Dictionaries of the same size cannot be told apart; checkpoints/unfit.py compares the languages.
"""

import os
import re

from ..tracebacks import chain, frames

MISMATCH = re.compile(
    r"size mismatch for (\S+): copying a param with shape torch\.Size\(\[(\d+)[^\]]*\]\) from checkpoint,"
    r" the shape in current model is torch\.Size\(\[(\d+)"
)
NOT_JOINED = re.compile("--share-all-embeddings requires a (joined|joint) dictionary")
SIDES = {"encoder.embed_tokens.weight": "source_lang", "decoder.embed_tokens.weight": "target_lang"}
SIZED_BY_DICTIONARIES = {*SIDES, "decoder.output_projection.weight"}


def explain(error):
    """One line for each dictionary that differs, or None if other weights differ too."""
    for exception in chain(error):
        found = {name: sizes for name, *sizes in MISMATCH.findall(str(exception))}
        different = {name: sizes for name, sizes in found.items() if sizes[0] != sizes[1]}
        if found.keys() <= SIZED_BY_DICTIONARIES and SIDES.keys() & different.keys():
            return "\n".join(_line(exception, SIDES[name], *different[name]) for name in SIDES if name in different)
    if NOT_JOINED.match(str(error)):
        source, target = (_dictionary(error, side) for side in SIDES.values())
        return (
            f"--share-all-embeddings: dictionaries {source} and {target} differ: take the data folder of the training,"
            " or make one with fairseq-preprocess --joined-dictionary"
        )
    return None


def _line(error, side, trained, given):
    return (
        f"dictionary {_dictionary(error, side)} has {given} symbols, {checkpoint_of(error)} was trained with "
        f"{trained}: take the data folder that it was trained on, or make one with its dictionaries "
        "(fairseq-preprocess --srcdict, --tgtdict)"
    )


def _dictionary(error, side):
    for frame in frames(error):
        task = frame.f_locals.get("task") or getattr(frame.f_locals.get("self"), "task", None)
        options = getattr(task, "cfg", None) or getattr(task, "args", None)
        if getattr(options, "data", None):
            language = getattr(options, side, None)
            name = f"dict.{language}.txt" if language else "dict.txt"
            return os.path.join(options.data.split(os.pathsep)[0], name)
    return "of the " + side.partition("_")[0]


def checkpoint_of(error):
    names = (frame.f_locals.get("filename") for frame in frames(error))
    return next((f"checkpoint {name}" for name in names if isinstance(name, str)), "the checkpoint")
