"""Options in a checkpoint that no model can be built from, or not the one whose weights it holds: which file it is

Where: `checkpoint_utils.load_model_ensemble_and_task`, where fairseq loads a model to decode, to validate or as a hub
interface. When: always. It names no file for a string that it does not evaluate, and for weights of another shape it
gives a traceback. Another dictionary than the checkpoint's is told elsewhere (`vocabulary`).
"""

import functools

from . import vocabulary
from .bad_checkpoint import BadCheckpoint, shown
from .plain_values import NotAPlainValue


def mend(checkpoint_utils):
    checkpoint_utils.load_model_ensemble_and_task = naming_the_file(checkpoint_utils.load_model_ensemble_and_task)


def naming_the_file(load_model_ensemble_and_task):
    @functools.wraps(load_model_ensemble_and_task)
    def wrapper(*args, **kwargs):
        try:
            return load_model_ensemble_and_task(*args, **kwargs)
        except NotAPlainValue as error:
            raise BadCheckpoint(f"{vocabulary.checkpoint_of(error)}: an option of it is {error}") from error
        except RuntimeError as error:
            start, _, rest = str(error).partition("\n")
            if not start.startswith("Error(s) in loading state_dict") or vocabulary.explain(error):
                raise
            first = shown(rest.strip().partition("\n")[0]).strip("'")
            file = vocabulary.checkpoint_of(error)
            told = f"{file}: its weights are not those of the model that its options describe ({first})"
            raise BadCheckpoint(told) from error

    return wrapper
