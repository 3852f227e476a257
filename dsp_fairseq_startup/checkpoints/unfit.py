"""Checkpoints that do not fit the data, or whose options, weights and training state do not fit each other."""

import sys

from ..errors import BadCheckpoint, shown, unfit_is_bad
from ..explanations import vocabulary
from ..mending import around
from ..options.plain_values import NotAPlainValue


@around("fairseq.checkpoint_utils:load_model_ensemble_and_task")
def warn_of_other_languages(load, filenames, arg_overrides=None, task=None, *args, **kwargs):
    """Warn of data in other languages than the training's: fairseq accepts them if dictionary sizes are equal."""
    result = load(filenames, arg_overrides, task, *args, **kwargs)
    trained, given = _languages(result[1].task), _languages(getattr(task, "cfg", None))
    if trained and given and trained != given:
        print(
            f"warning: checkpoint {filenames[-1]} translates {trained[0]} to {trained[1]}, the data are"
            f" {given[0]} to {given[1]} (--source-lang, --target-lang)",
            file=sys.stderr,
        )
    return result


def _languages(options):
    pair = getattr(options, "source_lang", None), getattr(options, "target_lang", None)
    return pair if all(pair) else None


@around("fairseq.checkpoint_utils:load_model_ensemble_and_task")
def name_the_file(load_model_ensemble_and_task, *args, **kwargs):
    """Name the checkpoint when its options build no model, or a model that its weights do not fit.

    fairseq calls this function to load a model for decoding, for validation and for the hub interface. When the
    dictionary of the data has another size than that of the training, `explanations.vocabulary` makes the message.
    """
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
        message = f"{file}: its weights are not those of the model that its options describe ({first})"
        raise BadCheckpoint(message) from error


@around("fairseq.trainer:Trainer.load_checkpoint")
def name_the_training(load_checkpoint, self, filename, *args, **kwargs):
    """Name the checkpoint when a training cannot continue from its state, which fairseq uses without checks."""
    remedy = f"start another one from its weights, with --finetune-from-model {filename}"
    with unfit_is_bad(filename, "its training cannot be gone on with", remedy):
        return load_checkpoint(self, filename, *args, **kwargs)
